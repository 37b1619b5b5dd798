//! The place of the resized image in the input: its centre is cut out, or it lies on a ground.

use std::collections::TryReserveError;

use super::options::{Centre, CropMode, Resize};
use super::reserved;

/// The position of a resized image in the input.
#[derive(Clone, Copy)]
enum Place {
    Centre(Centre),
    TopLeft,
}

impl Place {
    /// Returns the first pixel that is taken of a side of `from` pixels, and its place in a side of `to` pixels.
    fn first(self, from: u32, to: u32) -> (usize, usize) {
        match self {
            Self::TopLeft => (0, 0),
            Self::Centre(centre) if to > from => (0, centre.padding(to - from) as usize),
            Self::Centre(centre) => (centre.offset(from - to) as usize, 0),
        }
    }
}

impl Resize {
    /// Brings the RGB `pixels` of an image that was resized to `from` to the size `to` of the input; width first.
    /// `level` is the value of a byte.
    pub(super) fn place<T: Copy>(
        self,
        pixels: Vec<T>,
        from: (u32, u32),
        to: (u32, u32),
        level: impl Fn(u8) -> T,
    ) -> Result<Vec<T>, TryReserveError> {
        if from == to {
            return Ok(pixels);
        }
        let (place, ground) = match self {
            Self::Stretch | Self::Crop { .. } | Self::CropOfShortSide { .. } => return Ok(pixels),
            Self::ShortSide { centre, .. } | Self::StretchThenCrop { centre, .. } => {
                (Place::Centre(centre), [0; 3])
            }
            Self::Timm { mode, .. } => match mode {
                CropMode::Border { fill } => (Place::Centre(Centre::HalfEven), fill),
                CropMode::Center | CropMode::Squash => (Place::Centre(Centre::HalfEven), [0; 3]),
            },
            Self::Letterbox { pad, centred: true } => (Place::Centre(Centre::Floor), [pad; 3]),
            Self::Letterbox { pad, .. } => (Place::TopLeft, [pad; 3]),
        };
        placed(&pixels, from, to, place, ground.map(level))
    }
}

fn placed<T: Copy>(
    pixels: &[T],
    from: (u32, u32),
    to: (u32, u32),
    place: Place,
    ground: [T; 3],
) -> Result<Vec<T>, TryReserveError> {
    let (left, into_left) = place.first(from.0, to.0);
    let (top, into_top) = place.first(from.1, to.1);
    let (width, height) = (from.0.min(to.0) as usize, from.1.min(to.1) as usize);
    let after = (
        to.0 as usize - into_left - width,
        to.1 as usize - into_top - height,
    );
    let mut result = reserved(to.0 as usize * to.1 as usize * 3)?;
    let ground = |count: usize| std::iter::repeat_n(ground, count).flatten();
    result.extend(ground(to.0 as usize * into_top));
    let rows = pixels.chunks_exact(from.0 as usize * 3).skip(top);
    for row in rows.take(height) {
        result.extend(ground(into_left));
        result.extend_from_slice(&row[left * 3..][..width * 3]);
        result.extend(ground(after.0));
    }
    result.extend(ground(to.0 as usize * after.1));
    Ok(result)
}
