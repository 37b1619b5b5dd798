//! Coverage of a JPEG's coefficients by its scans.

/// Coefficients of a block.
const COEFFICIENTS: usize = 64;
const START_OF_SCAN: u8 = 0xda;

/// Segments of a file from the start of the image on, and the data of scans.
pub(super) struct Segments<'a> {
    rest: &'a [u8],
}

pub(super) struct Segment<'a> {
    pub(super) kind: u8,
    pub(super) content: &'a [u8],
    /// The data of a scan, from the end of its header to the end of the file.
    pub(super) rest: &'a [u8],
}

impl<'a> Segments<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes.get(2..).unwrap_or_default(),
        }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        loop {
            match *self.rest {
                // Data of a scan, fill bytes, and markers without a segment.
                [0xff, 0x01 | 0xd0..=0xd8 | 0, ..] => self.rest = &self.rest[2..],
                [0xff, 0xff, ..] => self.rest = &self.rest[1..],
                [0xff, kind, high, low, ..] if kind != 0xd9 => {
                    let length = usize::from(u16::from_be_bytes([high, low])).max(2);
                    let content = self.rest.get(4..2 + length)?;
                    self.rest = &self.rest[2 + length..];
                    return Some(Segment {
                        kind,
                        content,
                        rest: self.rest,
                    });
                }
                [0xff, ..] | [] => return None,
                _ => {
                    let next = self.rest.iter().position(|byte| *byte == 0xff);
                    self.rest = &self.rest[next?..];
                }
            }
        }
    }
}

/// Returns whether an end-of-image marker follows the first scan. In a scan every byte `FF` is followed by `00` or a
/// marker, so `FF D9` is always the marker there; the headers before it are skipped, because an embedded thumbnail has
/// its own end marker. (ITU-T T.81, annex B.)
pub(super) fn have_their_end(bytes: &[u8]) -> bool {
    let scan = Segments::new(bytes).find(|segment| segment.kind == START_OF_SCAN);
    // From the back, where complete files have it.
    scan.is_some_and(|scan| scan.rest.windows(2).rev().any(|pair| pair == [0xff, 0xd9]))
}

/// Returns whether a scan has several of `count` components, but not all.
pub(super) fn are_of_some_components(bytes: &[u8], count: usize) -> bool {
    let scans = Segments::new(bytes).filter(|segment| segment.kind == START_OF_SCAN);
    let mut counts = scans.map(|scan| scan.content.first().map_or(0, |count| (*count).into()));
    match counts.next() {
        // Nothing follows a scan of all components.
        Some(first) if first < count => first > 1 || counts.any(|found| found > 1),
        _ => false,
    }
}

/// Returns whether the scans of a progressive JPEG bring every coefficient of every component to its last bit.
pub(super) fn are_complete(bytes: &[u8], components: &[u8]) -> bool {
    // Bits that are missing; a coefficient that no scan has is 0 in the whole image.
    let mut missing = vec![[None::<u8>; COEFFICIENTS]; components.len()];
    let scans = Segments::new(bytes).filter(|segment| segment.kind == START_OF_SCAN);
    for scan in scans {
        let [count, parameters @ ..] = scan.content else {
            continue;
        };
        let Some((selectors, [first, last, bits])) =
            parameters.split_at_checked(2 * usize::from(*count))
        else {
            continue;
        };
        for selector in selectors.iter().step_by(2) {
            let places = components.iter().zip(&mut missing);
            for (_, missing) in places.filter(|(id, _)| *id == selector) {
                let last = usize::from(*last).min(COEFFICIENTS - 1);
                if let Some(missing) = missing.get_mut(usize::from(*first)..=last) {
                    missing.fill(Some(bits & 15));
                }
            }
        }
    }
    let mut all = missing.iter().flatten();
    all.all(|missing| *missing == Some(0))
}

/// Returns the file with components that have the same id renumbered. `ids` are those of the frame; `None` where a scan does
/// not repeat all of them.
pub(super) fn renumbered(bytes: &[u8], ids: &[u8]) -> Option<Vec<u8>> {
    let mut copy = bytes.to_vec();
    for segment in Segments::new(bytes) {
        let place = bytes.len() - segment.rest.len() - segment.content.len();
        let (first, step) = match segment.kind {
            START_OF_SCAN => (1, 2),
            0xc0..=0xc2 => (6, 3),
            _ => continue,
        };
        if usize::from(*segment.content.get(first - 1)?) != ids.len() {
            return None;
        }
        for (index, id) in ids.iter().enumerate() {
            let found = copy.get_mut(place + first + index * step)?;
            if found != id {
                return None;
            }
            *found = index as u8 + 1;
        }
    }
    Some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(ids: &[u8], first: u8, last: u8, bits: u8) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xda, 0, 6 + 2 * ids.len() as u8, ids.len() as u8];
        bytes.extend(ids.iter().flat_map(|id| [*id, 0]));
        bytes.extend([first, last, bits, 0x12, 0xff, 0, 0x34]);
        bytes
    }

    #[test]
    fn a_coefficient_that_lacks_its_last_bit_is_missed() {
        let start = b"\xff\xd8".to_vec();
        let scans = [
            scan(&[1, 2], 0, 0, 1),
            scan(&[1], 1, 63, 2),
            scan(&[2], 1, 63, 0),
            scan(&[1], 1, 63, 0x21),
            scan(&[1], 1, 63, 0x10),
            scan(&[1, 2], 0, 0, 0x10),
        ];
        for count in 0..=scans.len() {
            let file = [start.clone(), scans[..count].concat()].concat();
            assert_eq!(
                are_complete(&file, &[1, 2]),
                count == scans.len(),
                "{count}"
            );
        }
    }
}
