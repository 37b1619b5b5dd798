//! Patches and splines, whose memory and time depend on nothing that the size of the image limits.

use jxl_bitstream::Bitstream;
use jxl_coding::{Decoder, Error};
use jxl_frame::Frame;
use jxl_frame::data::TocGroupKind;
use jxl_oxide::JxlImage;

use super::super::DecodeError;
use super::unsupported;

/// Most blendings of patches in all frames: places, times channels. The decoder keeps about 100 bytes for one.
const MOST_BLENDINGS: u64 = 1 << 17;
/// Most pixels of all patches, for each pixel of the image. An encoder patches a pixel once or twice.
const MOST_PATCHED: u64 = 64;
/// The streams of numbers in which patches are written.
const STREAMS: u32 = 10;

/// Checks the frames up to the first one that is shown, before they are rendered.
///
/// Splines are refused: the decoder allocates for each pixel of their length, which a few bytes can make endless. No
/// encoder of photos writes them.
pub(super) fn check(image: &JxlImage) -> Result<(), DecodeError> {
    let pixels = u64::from(image.width()) * u64::from(image.height());
    let mut budget = Budget {
        blendings: MOST_BLENDINGS,
        pixels: pixels.saturating_mul(MOST_PATCHED),
    };
    let count = match image.frame_by_keyframe(0) {
        Some(shown) => shown.index() + 1,
        None => image.num_loaded_frames(),
    };
    for frame in (0..count).map_while(|index| image.frame(index)) {
        let flags = frame.header().flags;
        if flags.splines() {
            return Err(unsupported("splines".to_owned()));
        }
        if flags.patches() {
            budget.subtract(frame)?;
        }
    }
    Ok(())
}

/// The remaining budget for patches.
struct Budget {
    blendings: u64,
    pixels: u64,
}

/// The reason why patches are read no further.
enum Stop {
    /// The limit that they exceed.
    Limit(String),
    /// The stream is damaged.
    Damage,
}

impl From<Error> for Stop {
    fn from(_: Error) -> Self {
        Self::Damage
    }
}

impl Budget {
    /// Subtracts the patches of a frame. A damaged stream is no error here: the decoder cannot read more of it.
    fn subtract(&mut self, frame: &Frame) -> Result<(), DecodeError> {
        let group = if frame.toc().is_single_entry() {
            TocGroupKind::All
        } else {
            TocGroupKind::LfGlobal
        };
        let channels = &frame.image_header().metadata.ec_info;
        let alphas = channels.iter().filter(|it| it.is_alpha()).count();
        let bytes = frame.data(group).unwrap_or_default();
        match self.read(bytes, channels.len() as u64 + 1, alphas) {
            Err(Stop::Limit(limit)) => Err(unsupported(limit)),
            Ok(()) | Err(Stop::Damage) => Ok(()),
        }
    }

    /// Reads patches as the decoder does.
    fn read(&mut self, bytes: &[u8], blendings: u64, alphas: usize) -> Result<(), Stop> {
        let mut bits = Bitstream::new(bytes);
        let mut decoder = Decoder::parse(&mut bits, STREAMS)?;
        decoder.begin(&mut bits)?;
        let mut next = |stream| decoder.read_varint(&mut bits, stream).map(u64::from);
        for _ in 0..next(0)? {
            let (_frame, _x, _y) = (next(1)?, next(3)?, next(3)?);
            let (width, height) = (next(2)? + 1, next(2)? + 1);
            let places = next(7)? + 1;
            let area = width.saturating_mul(height);
            let left = |all: u64, each: u64| all.checked_sub(places.saturating_mul(each));
            let Some(all) = left(self.blendings, blendings) else {
                return Err(Stop::Limit(format!(
                    "more than {MOST_BLENDINGS} blendings of patches"
                )));
            };
            let Some(pixels) = left(self.pixels, area) else {
                return Err(Stop::Limit(format!(
                    "more than {MOST_PATCHED} patches on each pixel"
                )));
            };
            (self.pixels, self.blendings) = (pixels, all);
            for place in 0..places {
                let stream = if place == 0 { 4 } else { 6 };
                next(stream)?;
                next(stream)?;
                for _ in 0..blendings {
                    let mode = next(5)?;
                    if mode >= 4 && alphas >= 2 {
                        next(8)?;
                    }
                    if mode >= 3 {
                        next(9)?;
                    }
                }
            }
        }
        Ok(())
    }
}
