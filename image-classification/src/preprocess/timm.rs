//! timm's transform for evaluation, whose sizes follow the input of the model.
//!
//! Facts from timm 1.0, `timm/data/transforms_factory.py` and `timm/data/transforms.py`: with t = ⌊input / fraction⌋ for
//! each side, `center` resizes the image to cover t, `border` to fit into t, `squash` to t. Then the centre is cut out,
//! and a side that is shorter than the input is padded.

use std::collections::TryReserveError;

use super::options::{Centre, CropMode, Resize};
use super::reserved;
use crate::ImageSize;

/// The size that an image of `size` is resized to for an input of `input`; width first.
pub(super) fn resized_size(
    size: (u32, u32),
    input: (u32, u32),
    fraction: f64,
    mode: CropMode,
) -> (u32, u32) {
    let target = (enlarged(input.0, fraction), enlarged(input.1, fraction));
    let ratios = (
        f64::from(size.0) / f64::from(target.0),
        f64::from(size.1) / f64::from(target.1),
    );
    let kept = |ratio: f64| {
        let side = |side: u32| ((f64::from(side) / ratio).round_ties_even() as u32).max(1);
        (side(size.0), side(size.1))
    };
    match mode {
        CropMode::Squash => target,
        CropMode::Center if target.0 == target.1 => short_side(size, target.0),
        CropMode::Center => kept(ratios.0.min(ratios.1)),
        CropMode::Border { .. } => kept(ratios.0.max(ratios.1)),
    }
}

/// ⌊`side / fraction`⌋
fn enlarged(side: u32, fraction: f64) -> u32 {
    ((f64::from(side) / fraction).floor() as u32).max(1)
}

/// The size of an image of `size` with a short side of `short`: torchvision's `Resize`; width first.
pub(super) fn short_side((w, h): (u32, u32), short: u32) -> (u32, u32) {
    let long = |long: u32, side: u32| (u64::from(short) * u64::from(long) / u64::from(side)) as u32;
    if w <= h {
        (short, long(h, w))
    } else {
        (long(w, h), short)
    }
}

/// Returns the resize for an input of `input` without the fraction, where another notation states the same.
pub(super) fn for_input(fraction: f64, mode: CropMode, input: ImageSize) -> Option<Resize> {
    let centre = Centre::HalfEven;
    if input.width != input.height || fraction > 1.0 {
        return None;
    }
    let side = enlarged(input.width, fraction);
    match mode {
        CropMode::Center => Some(Resize::ShortSide {
            short: side,
            centre,
        }),
        CropMode::Squash => Some(Resize::StretchThenCrop { side, centre }),
        CropMode::Border { .. } => None,
    }
}

/// Cuts the centre of `to` out of the RGB `pixels` of `from`. Sides that are too short are padded with `fill`.
pub(super) fn centre_or_pad<T: Copy>(
    pixels: &[T],
    from: (u32, u32),
    to: (u32, u32),
    centre: Centre,
    fill: [T; 3],
) -> Result<Vec<T>, TryReserveError> {
    // Where the part begins in the image, and where in the result.
    let place = |from: u32, to: u32| {
        if to > from {
            (0, centre.padding(to - from) as usize)
        } else {
            (centre.offset(from - to) as usize, 0)
        }
    };
    let (left, into_left) = place(from.0, to.0);
    let (top, into_top) = place(from.1, to.1);
    let (width, height) = (from.0.min(to.0) as usize, from.1.min(to.1) as usize);
    let count = to.0 as usize * to.1 as usize * 3;
    let mut result = reserved(count)?;
    while result.len() < count {
        result.extend_from_slice(&fill);
    }
    let rows = result.chunks_exact_mut(to.0 as usize * 3).skip(into_top);
    let parts = pixels.chunks_exact(from.0 as usize * 3).skip(top);
    for (row, part) in rows.zip(parts).take(height) {
        row[into_left * 3..][..width * 3].copy_from_slice(&part[left * 3..][..width * 3]);
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use backend_api::{Dim, ElementType, TensorSpec};

    use crate::{ColorOrder, Image, InputLayout, Interpolation, Preprocess};

    /// Image, input (width first), resize, and the FNV-1a hash of the pixels that timm 1.0.31 and torchvision 0.29.2
    /// give with Pillow 13.0.0, computed by `tests/reference/timm_transforms.py`.
    const THEIRS: [((u32, u32), (usize, usize), &str, u64); 27] = [
        ((57, 40), (32, 32), "center:0.95", 0x461c_9115_6826_5d84),
        ((57, 40), (32, 32), "center:1.15", 0x9ef8_781e_c45f_ad69),
        ((57, 40), (20, 48), "center:0.9", 0xece7_0c1a_819c_a2a6),
        ((57, 40), (32, 31), "center:1.1", 0x8eab_5256_3833_cfdc),
        ((57, 40), (32, 32), "squash:0.9", 0xf6dc_9a09_54cc_9a2e),
        ((57, 40), (33, 20), "squash:1.2", 0x2f76_c14c_9ff7_f78c),
        (
            (57, 40),
            (32, 32),
            "border:0.875:124,128,26",
            0x6e92_6e29_77aa_2479,
        ),
        (
            (57, 40),
            (40, 24),
            "border:1:124,128,26",
            0xf3bf_8b3a_97a0_2e14,
        ),
        (
            (57, 40),
            (40, 24),
            "border:1.3:124,128,26",
            0x876c_b15f_d2c5_c17b,
        ),
        ((33, 61), (32, 32), "center:0.95", 0x234a_79eb_9884_d0a5),
        ((33, 61), (32, 32), "center:1.15", 0xdf3a_c383_7f20_7d72),
        ((33, 61), (20, 48), "center:0.9", 0x9b99_789f_d312_b418),
        ((33, 61), (32, 31), "center:1.1", 0x3b70_4ab6_4bae_0f36),
        ((33, 61), (32, 32), "squash:0.9", 0x969b_a870_4995_7b4c),
        ((33, 61), (33, 20), "squash:1.2", 0x27a3_a713_0751_e62c),
        (
            (33, 61),
            (32, 32),
            "border:0.875:124,128,26",
            0xda7a_3166_91cc_cd49,
        ),
        (
            (33, 61),
            (40, 24),
            "border:1:124,128,26",
            0x91ae_d6f6_e8b3_47bd,
        ),
        (
            (33, 61),
            (40, 24),
            "border:1.3:124,128,26",
            0xef54_c88c_ad69_7380,
        ),
        ((20, 20), (32, 32), "center:0.95", 0xd08d_6000_4fd5_d1cb),
        ((20, 20), (32, 32), "center:1.15", 0xcade_e344_9cee_a674),
        ((20, 20), (20, 48), "center:0.9", 0xb6a8_176c_b4db_c65b),
        ((20, 20), (32, 31), "center:1.1", 0xe8b7_6cfe_f923_4edd),
        ((20, 20), (32, 32), "squash:0.9", 0xa880_1651_81a9_7793),
        ((20, 20), (33, 20), "squash:1.2", 0x06da_dd11_4f37_3abe),
        (
            (20, 20),
            (32, 32),
            "border:0.875:124,128,26",
            0x1fc3_f9fe_bc64_b90e,
        ),
        (
            (20, 20),
            (40, 24),
            "border:1:124,128,26",
            0x722a_a0d3_366d_6504,
        ),
        (
            (20, 20),
            (40, 24),
            "border:1.3:124,128,26",
            0xd536_0f83_35ef_0dfe,
        ),
    ];

    #[test]
    fn pixels_are_those_of_timm() {
        for ((width, height), (to_width, to_height), resize, expected) in THEIRS {
            let pixels = (0..height)
                .flat_map(|y| (0..width).flat_map(move |x| [x * 7 + y * 3, x * x + y, x * y + 5]));
            let pixels = pixels.map(|value| (value % 256) as u8).collect();
            let image = Image::from_rgb(width, height, pixels).unwrap();
            let dims = [1, to_height, to_width, 3].map(Dim::Fixed).to_vec();
            let spec = TensorSpec::new("x", ElementType::U8, dims);
            let layout = InputLayout::from_spec(&spec, None, None).unwrap();
            let recipe = Preprocess {
                color: ColorOrder::Rgb,
                resize: resize.parse().unwrap(),
                interpolation: Interpolation::Bicubic,
                ..Preprocess::OPENVINO_SAMPLE
            };
            let fitted = Preprocess {
                resize: recipe.resize.for_input(layout.size()),
                ..recipe
            };
            for recipe in [recipe, fitted] {
                let tensor = recipe.tensor(&image, &layout).unwrap();
                let hash = tensor
                    .as_bytes()
                    .iter()
                    .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
                    });
                let case = format!("{width} x {height} to {to_width} x {to_height}, {resize}");
                assert_eq!(hash, expected, "{case}");
            }
        }
    }
}
