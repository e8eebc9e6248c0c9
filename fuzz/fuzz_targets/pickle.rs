//! Any bytes as a pytorch_model.bin: as they are, as the pickle inside a sound zip, or after the first three pickles of
//! a file from before PyTorch 1.6. Random bytes never make the latter two.

#![no_main]

use libfuzzer_sys::fuzz_target;

/// The format's number, its version, and an empty dict of facts about the machine.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\0.";

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let file = match first % 3 {
        0 => rest.to_vec(),
        1 => zip(rest),
        _ => [LEGACY, rest].concat(),
    };
    zsic_fuzz::read_all("pytorch_model.bin", &file);
});

/// A stored zip of `archive/data.pkl` and one storage, `archive/data/0`.
fn zip(pickle: &[u8]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in [("archive/data.pkl", pickle), ("archive/data/0", &[7; 64][..])] {
        let sizes: Vec<u8> = [crc32(content), content.len() as u32, content.len() as u32]
            .iter()
            .flat_map(|n| n.to_le_bytes())
            .chain((name.len() as u16).to_le_bytes())
            .chain([0, 0])
            .collect();
        let offset = file.len() as u32;
        file.extend(b"PK\x03\x04\x0a\0\0\0\0\0\0\0\0\0");
        file.extend(&sizes);
        file.extend(name.as_bytes());
        file.extend(content);
        directory.extend(b"PK\x01\x02\x0a\0\x0a\0\0\0\0\0\0\0\0\0");
        directory.extend(&sizes);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let start = file.len() as u32;
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0\x02\0\x02\0");
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0, 0]);
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    })
}
