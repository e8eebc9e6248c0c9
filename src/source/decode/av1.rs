//! AV1 pictures, decoded by rav1d through the interface it shares with dav1d.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use rav1d::include::dav1d::data::Dav1dData;
use rav1d::include::dav1d::dav1d::{Dav1dContext, Dav1dLogger, Dav1dSettings};
use rav1d::include::dav1d::headers::{
    DAV1D_PIXEL_LAYOUT_I400, DAV1D_PIXEL_LAYOUT_I420, DAV1D_PIXEL_LAYOUT_I422, DAV1D_PIXEL_LAYOUT_I444,
};
use rav1d::include::dav1d::picture::Dav1dPicture;
use rav1d::src::lib::{
    dav1d_close, dav1d_data_create, dav1d_data_unref, dav1d_default_settings, dav1d_get_picture, dav1d_open,
    dav1d_picture_unref, dav1d_send_data,
};

use super::yuv::{Chroma, Coding, Planes};

/// Decodes the first picture of some AV1 data, of its layers the best. A picture of more than `most` pixels is an error.
pub(super) fn decode(data: &[u8], most: u64) -> Option<(Planes, Coding)> {
    if data.is_empty() {
        return None;
    }
    let mut decoder = Decoder::open(most)?;
    decoder.decode(data)?;
    // SAFETY: the decoder gave the picture, and refers to it until it is dropped.
    decoder.picture.as_ref().and_then(|picture| unsafe { read(picture) })
}

/// A decoder and the picture that it gave.
struct Decoder {
    context: Option<Dav1dContext>,
    picture: Option<Dav1dPicture>,
}

impl Decoder {
    /// Opens a decoder that works on the caller's thread alone.
    fn open(most: u64) -> Option<Self> {
        let mut settings = MaybeUninit::uninit();
        let mut context = None;
        // SAFETY: the first call fills the settings, and the pointers live as long as the calls.
        let opened = unsafe {
            dav1d_default_settings(NonNull::from(&mut settings).cast());
            let mut settings: Dav1dSettings = settings.assume_init();
            settings.n_threads = 1;
            settings.max_frame_delay = 1;
            settings.all_layers = 0;
            settings.frame_size_limit = u32::try_from(most).unwrap_or(u32::MAX);
            settings.logger = Dav1dLogger::new(None, None);
            dav1d_open(Some(NonNull::from(&mut context)), Some(NonNull::from(&mut settings)))
        };
        (opened.0 == 0).then_some(Self { context, picture: None })
    }

    /// Decodes until there is a picture.
    fn decode(&mut self, bytes: &[u8]) -> Option<()> {
        let mut data = Dav1dData::default();
        // SAFETY: `dav1d_data_create` returns memory of the length that it is asked for, or null.
        unsafe {
            let memory = NonNull::new(dav1d_data_create(Some(NonNull::from(&mut data)), bytes.len()))?;
            memory.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
        }
        // SAFETY: the context is open, and the decoder takes its part of the data's references.
        unsafe { dav1d_send_data(self.context, Some(NonNull::from(&mut data))) };
        let has_picture = self.receive();
        // SAFETY: gives back what the decoder did not take.
        unsafe { dav1d_data_unref(Some(NonNull::from(&mut data))) };
        has_picture.then_some(())
    }

    /// Receives a picture. Returns whether there was one.
    fn receive(&mut self) -> bool {
        let mut picture = Dav1dPicture::default();
        // SAFETY: the context is open, and an unreferenced picture may be given back.
        unsafe {
            let is_received = dav1d_get_picture(self.context, Some(NonNull::from(&mut picture))).0 == 0;
            if is_received {
                self.picture = Some(picture);
            } else {
                give_back(&mut picture);
            }
            is_received
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: both are given back once.
        unsafe {
            if let Some(picture) = &mut self.picture {
                give_back(picture);
            }
            dav1d_close(Some(NonNull::from(&mut self.context)));
        }
    }
}

/// Gives a picture back to the decoder, which leaves an empty list of metadata in it.
///
/// # Safety
/// The picture is one of the decoder, or an unreferenced one.
unsafe fn give_back(picture: &mut Dav1dPicture) {
    // SAFETY: by the caller; nothing else has the list.
    unsafe {
        dav1d_picture_unref(Some(NonNull::from(&mut *picture)));
        if let Some(metadata) = picture.itut_t35_ref.take() {
            drop(metadata.into_arc());
        }
    }
}

/// Copies the samples of a picture.
///
/// # Safety
/// The picture must come from the decoder and still be referenced.
unsafe fn read(picture: &Dav1dPicture) -> Option<(Planes, Coding)> {
    let chroma = match picture.p.layout {
        DAV1D_PIXEL_LAYOUT_I400 => Chroma::Grey,
        DAV1D_PIXEL_LAYOUT_I420 => Chroma::Half,
        DAV1D_PIXEL_LAYOUT_I422 => Chroma::HalfWidth,
        DAV1D_PIXEL_LAYOUT_I444 => Chroma::Full,
        _ => return None,
    };
    let [width, height] = [picture.p.w, picture.p.h].map(|side| side as usize);
    let mut planes = Planes::new(width, height, picture.p.bpc as u32, chroma);
    for plane in 0..3 {
        let [width, height] = planes.size(plane);
        let stride = picture.stride[plane.min(1)];
        for y in 0..height {
            let out = &mut planes.samples[plane][y * width..(y + 1) * width];
            // SAFETY: each row of a plane has the plane's width in samples of one or two bytes.
            unsafe {
                let row = picture.data[plane]?.as_ptr().byte_offset(y as isize * stride);
                if picture.p.bpc == 8 {
                    let row = std::slice::from_raw_parts(row.cast::<u8>(), width);
                    out.iter_mut().zip(row).for_each(|(out, sample)| *out = u16::from(*sample));
                } else {
                    out.copy_from_slice(std::slice::from_raw_parts(row.cast::<u16>(), width));
                }
            }
        }
    }
    // SAFETY: a picture keeps its sequence header.
    let header = unsafe { picture.seq_hdr?.as_ref() };
    let coding =
        Coding { matrix: header.mtrx as u16, primaries: header.pri as u16, full_range: header.color_range != 0 };
    Some((planes, coding))
}
