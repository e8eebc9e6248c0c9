//! The headers of a JPEG 2000 codestream: what decides the memory that its decoder takes.

use super::cursor::Cursor;
use super::signature::JPEG_2000;
use super::{DecodeResult, Format, damaged, unsupported};
use crate::source::ImageError;

/// Markers.
const COD: u8 = 0x52;
const COC: u8 = 0x53;
const POC: u8 = 0x5f;
const TILE_PART: u8 = 0x90;
const DATA: u8 = 0x93;
const END: u8 = 0xd9;

/// The most tiles that the format allows.
const TILES: u64 = 65_535;

/// The most layers that the decoder reads.
const LAYERS: u64 = 32;
/// The most changes of a tile's progression. Each costs as much memory as all blocks.
const PROGRESSIONS: usize = 32;

/// Bytes that decoding takes, as measured: per sample, per pixel, per component of a tile, per block of samples, per
/// layer of a block, per byte of the file, and for any file.
const OF_SAMPLE: u64 = 4;
const OF_PIXEL: u64 = 12;
const OF_TILE: u64 = 512;
const OF_BLOCK: u64 = 512;
const OF_LAYER: u64 = 24;
const OF_BYTE: u64 = 4;
const OF_FILE: u64 = 2 << 20;

/// What the headers state.
pub(super) struct Codestream {
    pub size: [u32; 2],
    pub components: u16,
    /// Whether the first component has fewer samples than the image has pixels, and whether any other has.
    pub is_small: bool,
    pub is_subsampled: bool,
    tile: [u32; 2],
    tiles: u64,
    layers: u64,
    /// Changes of the progression, in the marker with most.
    progressions: usize,
    /// The blocks that a component of a tile has at most.
    blocks: u64,
    length: u64,
}

impl Codestream {
    /// Reads the headers of the file and of its tiles.
    pub(super) fn read(bytes: &[u8]) -> DecodeResult<Self> {
        let mut rest = Cursor::at(bytes, JPEG_2000.len());
        let header = segment(&mut rest).and_then(Self::sizes);
        let mut header = header.ok_or_else(|| ImageError::truncated(Format::Jpeg2000.name()))?;
        if header.tiles > TILES {
            return Err(damaged(Format::Jpeg2000, "too many tiles"));
        }
        header.length = bytes.len() as u64;
        let mut next = bytes.len();
        loop {
            let at = bytes.len() - rest.rest().len();
            let Some([0xff, marker]) = rest.array() else { break };
            if matches!(marker, 0x30..=0x3f) {
                continue; // without contents
            }
            if marker == END || marker == DATA && next <= at {
                break;
            }
            if marker == DATA {
                rest = Cursor::at(bytes, next);
                continue;
            }
            let Some(contents) = segment(&mut rest) else { break };
            match marker {
                TILE_PART => next = part_length(contents).map_or(bytes.len(), |length| at.saturating_add(length)),
                COD => _ = header.read_coding(contents),
                POC => {
                    let of_change = if header.components < 257 { 7 } else { 9 };
                    header.progressions = header.progressions.max(contents.len() / of_change);
                }
                COC => _ = header.read_coding_of_component(contents),
                _ => {}
            }
        }
        if header.layers > LAYERS || header.progressions > PROGRESSIONS {
            return Err(unsupported(Format::Jpeg2000, format!("more than {LAYERS} layers or progressions")));
        }
        Ok(header)
    }

    fn sizes(contents: &[u8]) -> Option<Self> {
        let mut fields = Cursor::at(contents, 2);
        let mut number = || fields.u32_be();
        let end = [number()?, number()?];
        let start = [number()?, number()?];
        let tile = [number()?, number()?];
        let first = [number()?, number()?];
        let components = fields.u16_be()?;
        let mut are_small = fields.rest().chunks_exact(3).take(components.into()).map(|step| step[1..] != [1, 1]);
        let size = [end[0].checked_sub(start[0])?, end[1].checked_sub(start[1])?];
        let along = |n: usize| Some(u64::from(end[n].checked_sub(first[n])?.div_ceil(tile[n].max(1))));
        Some(Self {
            size,
            components,
            is_small: are_small.next()?,
            is_subsampled: are_small.any(|is_small| is_small),
            tile: [tile[0].min(size[0]), tile[1].min(size[1])],
            tiles: along(0)? * along(1)?,
            layers: 0,
            progressions: 0,
            blocks: 0,
            length: 0,
        })
    }

    fn read_coding(&mut self, contents: &[u8]) -> Option<()> {
        let mut fields = Cursor::new(contents);
        let has_precincts = fields.u8()? & 1 == 1;
        let [_, high, low, _] = fields.array()?;
        self.layers = self.layers.max(u16::from_be_bytes([high, low]).into());
        self.read_blocks(fields, has_precincts)
    }

    fn read_coding_of_component(&mut self, contents: &[u8]) -> Option<()> {
        let mut fields = Cursor::at(contents, if self.components < 257 { 1 } else { 2 });
        let has_precincts = fields.u8()? & 1 == 1;
        self.read_blocks(fields, has_precincts)
    }

    /// Counts the blocks of a component of a tile, in all its resolutions.
    fn read_blocks(&mut self, mut fields: Cursor, has_precincts: bool) -> Option<()> {
        let [levels, width, height, _, _] = fields.array()?;
        let mut blocks = 0u64;
        for resolution in 0..=levels {
            let precinct = if has_precincts { fields.u8()? } else { 0xff };
            let smaller = u8::from(resolution > 0); // three bands of half the size share a precinct
            let along = |side: u32, block: u8, precinct: u8| {
                let exponent = block.saturating_add(2).min(precinct.saturating_sub(smaller)).min(63);
                let side = u64::from(side).checked_shr((levels - resolution).into()).unwrap_or(0);
                (side >> exponent) + 2
            };
            let all = along(self.tile[0], width, precinct & 15) * along(self.tile[1], height, precinct >> 4);
            blocks = blocks.saturating_add(all);
        }
        self.blocks = self.blocks.max(blocks);
        Some(())
    }

    /// Returns the bytes that decoding takes at most, at any resolution.
    pub(super) fn memory(&self) -> u64 {
        let components = u64::from(self.components);
        let pixels = u64::from(self.size[0]) * u64::from(self.size[1]);
        let of_block = OF_BLOCK * (1 + self.progressions as u64) + self.layers * OF_LAYER;
        let tiles = (self.tiles * OF_TILE).saturating_add(self.blocks.saturating_mul(of_block));
        let all = [pixels.saturating_mul(components * OF_SAMPLE + OF_PIXEL), components.saturating_mul(tiles)];
        all.into_iter().fold(OF_FILE + self.length * OF_BYTE, u64::saturating_add)
    }
}

/// Reads the contents of a marker.
fn segment<'a>(rest: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let length = rest.u16_be()?.checked_sub(2)?;
    rest.take(length.into())
}

/// Returns the length of a tile's part from its marker on, unless it is open.
fn part_length(contents: &[u8]) -> Option<usize> {
    let length = Cursor::at(contents, 2).u32_be()? as usize;
    (length > 0).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A codestream's headers: three components of 1000 x 1000 samples in tiles of a side, blocks of 4 x 4.
    fn headers(side: u32, layers: u8, precincts: &[u8]) -> Vec<u8> {
        let mut bytes = [&JPEG_2000[..], &[0, 47, 0, 0]].concat();
        let numbers = [1000, 1000, 0, 0, side, side, 0, 0];
        bytes.extend(numbers.iter().flat_map(|number: &u32| number.to_be_bytes()));
        bytes.extend([0, 3, 7, 1, 1, 7, 1, 1, 7, 1, 1]);
        let has_precincts = u8::from(!precincts.is_empty());
        bytes.extend([0xff, COD, 0, 12 + precincts.len() as u8, has_precincts, 0, 0, layers, 0, 1, 0, 0, 0, 1]);
        bytes.extend(precincts);
        bytes
    }

    #[test]
    fn memory_follows_from_what_headers_state() {
        let memory =
            |side, layers, precincts: &[u8]| Codestream::read(&headers(side, layers, precincts)).unwrap().memory();
        let plain = memory(1000, 1, &[]);
        assert!((124_000_000..180_000_000).contains(&plain), "{plain}"); // a block of 16 samples takes as much as they do
        assert!(memory(1000, 32, &[]) > plain + 3 * 62_500 * 31 * OF_LAYER);
        assert!(memory(1000, 1, &[0x11, 0x11]) > 3_000_000 * OF_BLOCK);
        assert!(memory(10, 1, &[]) < plain, "blocks are kept for one tile");
        assert!(Codestream::read(&headers(2, 1, &[])).is_err(), "too many tiles");
    }

    #[test]
    fn headers_of_tiles_count() {
        let mut bytes = headers(1000, 1, &[]);
        let plain = Codestream::read(&bytes).unwrap().memory();
        bytes
            .extend([0xff, TILE_PART, 0, 10, 0, 0, 0, 0, 0, 28, 0, 1, 0xff, COD, 0, 12, 0, 0, 0, 32, 0, 1, 0, 0, 0, 1]);
        assert!(Codestream::read(&bytes).unwrap().memory() > plain * 2);
    }

    #[test]
    fn jumps_do_not_loop() {
        for length in [0u32, 1, 12, u32::MAX] {
            let mut bytes = headers(1000, 1, &[]);
            bytes.extend([0xff, TILE_PART, 0, 10, 0, 0]);
            bytes.extend(length.to_be_bytes());
            bytes.extend([0, 1, 0xff, DATA]);
            assert!(Codestream::read(&bytes).is_ok());
        }
    }
}
