//! Checksums after damage: without them no damage would get past the first check.

/// Corrects the CRC of each chunk.
pub fn png(bytes: &mut [u8]) {
    let mut place = 8;
    while let Some(head) = bytes.get(place..place + 8) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(end) = (place + 8).checked_add(length) else {
            return;
        };
        if end + 4 > bytes.len() {
            return;
        }
        let sum = crc32(&bytes[place + 4..end]);
        bytes[end..end + 4].copy_from_slice(&sum.to_be_bytes());
        place = end + 4;
    }
}

/// Corrects the checksum of each header.
pub fn tar(bytes: &mut [u8]) {
    const BLOCK: usize = 512;
    let mut place = 0;
    while let Some(header) = bytes.get_mut(place..place + BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            return;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = std::str::from_utf8(&header[124..135]).unwrap_or_default();
        let size = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).unwrap_or(0);
        place += BLOCK + size.next_multiple_of(BLOCK).min(1 << 30);
    }
}

/// Corrects the CRC of each stored member, in its own header and in the directory.
pub fn zip(bytes: &mut [u8]) {
    let at = |bytes: &[u8], place: usize, width: usize| -> Option<usize> {
        let field = bytes.get(place..place + width)?.iter().rev();
        Some(field.fold(0, |value, byte| value << 8 | usize::from(*byte)))
    };
    let headers: Vec<usize> = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, four)| *four == b"PK\x01\x02")
        .map(|(place, _)| place)
        .collect();
    for header in headers {
        let found = (|| {
            let (method, size) = (at(bytes, header + 10, 2)?, at(bytes, header + 20, 4)?);
            let local = at(bytes, header + 42, 4)?;
            let from = local + 30 + at(bytes, local + 26, 2)? + at(bytes, local + 28, 2)?;
            let content = bytes.get(from..from.checked_add(size)?)?;
            (method == 0).then(|| (local, crc32(content)))
        })();
        if let Some((local, sum)) = found {
            bytes[header + 16..header + 20].copy_from_slice(&sum.to_le_bytes());
            bytes[local + 14..local + 18].copy_from_slice(&sum.to_le_bytes());
        }
    }
}

/// The checksum of PNG and ZIP.
fn crc32(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        let mut sum = sum ^ u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ ((sum & 1) * 0xedb8_8320);
        }
        sum
    });
    !sum
}
