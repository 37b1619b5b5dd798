//! Pillow's `Image.resize` for RGB images of 8 bits a channel.
//!
//! The arithmetic follows Pillow 13's `src/libImaging/Resample.c`: separable convolution in two passes, the first one
//! limited to what the second one reads, each rounded to 8 bits. Weights are computed in `f64`, normalized, and
//! rounded to 22 fractional bits; sums are exact in `i32`, so that the order of addition is free.
//! `Nearest` follows `ImagingScaleAffine` of `src/libImaging/Geometry.c`.

use std::collections::TryReserveError;

use crate::convolution::{
    self, Coefficients, Convolution, Part, as_f64, flatten_then_narrow, narrow_then_flatten,
    reserved, to_index,
};
use crate::{CHANNELS, Filter, RgbView, SourceBox, target_size, zeros};

/// One axis of the source: its length in pixels, and the interval to resample, rounded to `f32` as in Pillow.
#[derive(Debug, Clone, Copy)]
struct Axis {
    len: usize,
    from: f32,
    to: f32,
}

impl Axis {
    /// Returns whether the interval is the whole axis and `out_len` its length, so that Pillow skips the pass.
    #[expect(clippy::float_cmp, reason = "Pillow compares exactly, too")]
    fn is_whole(self, out_len: usize) -> bool {
        self.len == out_len && self.from == 0.0 && self.to == as_f32(out_len)
    }

    /// Returns the first pixel, if the interval starts on a pixel and has the length `out_len`, so that Pillow only
    /// copies.
    #[expect(clippy::float_cmp, reason = "Pillow compares exactly, too")]
    fn copied_from(self, out_len: usize) -> Option<usize> {
        let aligned = self.from.fract() == 0.0 && self.to - self.from == as_f32(out_len);
        let first = to_index(f64::from(self.from));
        // Above 2^24 the `f32` edges are not exact any more; never crop beyond the end.
        (aligned && first + out_len <= self.len).then_some(first)
    }

    /// Returns the whole of an axis of `len` pixels.
    fn whole(len: usize) -> Self {
        Self {
            len,
            from: 0.0,
            to: as_f32(len),
        }
    }

    fn coefficients(self, out_len: usize, convolution: Convolution) -> Coefficients {
        let from = f64::from(self.from);
        Coefficients::new(self.len, from, self.scale(out_len), out_len, convolution)
    }

    /// Returns the number of source pixels for each target pixel.
    fn scale(self, out_len: usize) -> f64 {
        f64::from(self.to - self.from) / as_f64(out_len)
    }
}

/// Returns a length as `f32`, rounded as C converts it for Pillow.
fn as_f32(len: usize) -> f32 {
    len as f32
}

/// Resamples `src`, or the part of it in `source_box`, to `width` x `height` pixels as Pillow's `Image.resize` does.
///
/// Returns `width * height * 3` bytes, laid out like the source. An unchanged size with an aligned box is a copy.
///
/// The bytes equal Pillow 13.0 without `reducing_gap`. Where an image shrinks much more in height than in
/// width, 333 x 500 to 224 x 224 for example, they differ in rounding from older versions, which resample
/// along x first.
///
/// # Panics
///
/// If a side of the target is zero or above `i32::MAX`, if the target exceeds the address space, or if `source_box`
/// is empty, is not a number, or reaches outside of the image. All of these are mistakes of the caller, who
/// chooses them knowing the size of the image; pixel values never panic.
///
/// # Errors
///
/// If there is no memory for the result or the intermediate rows; see [`memory_bytes`].
pub fn resize(
    src: RgbView<'_>,
    source_box: Option<SourceBox>,
    width: u32,
    height: u32,
    filter: Filter,
) -> Result<Vec<u8>, TryReserveError> {
    let (out_width, out_height, out_len) = target_size(width, height);
    let (columns, rows) = axes(src, source_box);

    if let (Some(left), Some(top)) = (columns.copied_from(out_width), rows.copied_from(out_height))
    {
        return crop(src, left, top, out_width, out_height);
    }
    let Some(convolution) = Convolution::of(filter) else {
        return nearest(src, columns, rows, out_width, out_height, out_len);
    };
    let needs_horizontal = !columns.is_whole(out_width);
    let needs_vertical = !rows.is_whole(out_height);
    let horizontal = columns.coefficients(out_width, convolution);
    let vertical = rows.coefficients(out_height, convolution);
    let (used_columns, used_rows) = (horizontal.used(), vertical.used());
    let whole = Part::whole(src);
    let mut out = zeros(out_len)?;
    if used_columns.is_empty() || used_rows.is_empty() {
        // A sliver at the edge that `f32` rounds away: Pillow's box filter has no pixels to sum up and returns black.
        return Ok(out);
    }
    // Neither pass would be a copy, which has been made above.
    if !needs_horizontal {
        convolution::flatten(whole, vertical, &mut out)?;
    } else if !needs_vertical {
        convolution::narrow(whole, horizontal, &mut out)?;
    } else if horizontal_first(src.size(), (width, height)) {
        // Each pass rounds, so that their order shows in the bytes.
        let vertical = vertical.counted_from(used_rows.start);
        narrow_then_flatten(whole.rows(used_rows), horizontal, vertical, &mut out)?;
    } else {
        let horizontal = horizontal.counted_from(used_columns.start);
        flatten_then_narrow(whole.columns(used_columns), horizontal, vertical, &mut out)?;
    }
    Ok(out)
}

/// Returns an upper bound of the bytes that [`resize`] allocates for a whole image of `size`, with the result; width
/// first.
///
/// With a source box it takes no more.
#[must_use]
pub fn memory_bytes(size: (u32, u32), to: (u32, u32), filter: Filter) -> u64 {
    let window = |from: u32, to: u32| {
        let (len, to) = (from as usize, to.max(1) as usize);
        Convolution::of(filter).map_or(0, |convolution| {
            Axis::whole(len).coefficients(to, convolution).most()
        })
    };
    let windows = (window(size.0, to.0), window(size.1, to.1));
    convolution::memory_bytes(size, to, windows, horizontal_first(size, to))
}

/// Returns the order of the passes, as of Pillow 13.0: the vertical one is first where the height shrinks by more than
/// twice the pixels that the width shrinks by. Sizes are of the whole image, whatever the source box. Older versions
/// have the horizontal pass first (12.2 makes an exception for images over 100 times as high as wide).
fn horizontal_first(size: (u32, u32), to: (u32, u32)) -> bool {
    let shrinks_by = |from: u32, to: u32| i64::from(from) - i64::from(to);
    let (columns, rows) = (shrinks_by(size.0, to.0), shrinks_by(size.1, to.1));
    !(rows > 0 && rows > columns * 2)
}

/// Returns the axes of `src`, limited to `source_box`.
fn axes(src: RgbView<'_>, source_box: Option<SourceBox>) -> (Axis, Axis) {
    let (width, height) = (src.width as usize, src.height as usize);
    let Some(SourceBox {
        left,
        top,
        right,
        bottom,
    }) = source_box
    else {
        return (Axis::whole(width), Axis::whole(height));
    };
    // Written so that NaN fails too.
    assert!(
        left >= 0.0 && top >= 0.0 && right <= as_f64(width) && bottom <= as_f64(height),
        "source box {left}, {top}, {right}, {bottom} reaches outside of the image of {width} x {height} pixels"
    );
    assert!(
        left < right && top < bottom,
        "source box {left}, {top}, {right}, {bottom} is empty"
    );
    // Pillow takes the box as C floats.
    let axis = |len, from: f64, to: f64| Axis {
        len,
        from: from as f32,
        to: to as f32,
    };
    (axis(width, left, right), axis(height, top, bottom))
}

/// Copies a rectangle of `src`.
fn crop(
    src: RgbView<'_>,
    left: usize,
    top: usize,
    width: usize,
    height: usize,
) -> Result<Vec<u8>, TryReserveError> {
    let mut out = reserved(width * height * CHANNELS)?;
    if left == 0 && width == src.width as usize {
        out.extend_from_slice(&src.data[top * src.stride()..][..height * src.stride()]);
        return Ok(out);
    }
    for row in src.data.chunks_exact(src.stride()).skip(top).take(height) {
        out.extend_from_slice(&row[left * CHANNELS..][..width * CHANNELS]);
    }
    Ok(out)
}

/// Does Pillow's `ImagingScaleAffine` without interpolation. Targets outside of the source stay black.
fn nearest(
    src: RgbView<'_>,
    columns: Axis,
    rows: Axis,
    width: usize,
    height: usize,
    len: usize,
) -> Result<Vec<u8>, TryReserveError> {
    let columns = nearest_positions(columns, width);
    let mut out = zeros(len)?;
    for (out_row, y) in out
        .chunks_exact_mut(width * CHANNELS)
        .zip(nearest_positions(rows, height))
    {
        let (row, _) = src.row(y).as_chunks::<CHANNELS>();
        for (pixel, x) in out_row
            .as_chunks_mut::<CHANNELS>()
            .0
            .iter_mut()
            .zip(&columns)
        {
            *pixel = row[*x];
        }
    }
    Ok(out)
}

/// Returns the source pixel of each of `out_len` target pixels, up to the first one outside of the source, if any.
fn nearest_positions(axis: Axis, out_len: usize) -> Vec<usize> {
    let scale = axis.scale(out_len);
    // Pillow adds up the positions, so that their rounding errors add up too; multiplying would differ.
    let first = f64::from(axis.from) + scale * 0.5;
    let positions = std::iter::successors(Some(first), |position| Some(position + scale));
    positions
        .take(out_len)
        .map(to_index)
        .take_while(|&index| index < axis.len)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTERS: [Filter; 5] = [
        Filter::Nearest,
        Filter::Box,
        Filter::Bilinear,
        Filter::Bicubic,
        Filter::Lanczos,
    ];

    /// Bytes `(i * step + first) mod 256`.
    fn ramp(len: usize, step: usize, first: usize) -> Vec<u8> {
        (0..len).map(|i| (i * step + first) as u8).collect()
    }

    fn resized(
        src: RgbView<'_>,
        part: Option<SourceBox>,
        width: u32,
        height: u32,
        filter: Filter,
    ) -> Vec<u8> {
        resize(src, part, width, height, filter).unwrap()
    }

    fn view(width: u32, height: u32, data: &[u8]) -> RgbView<'_> {
        RgbView::new(width, height, data).unwrap()
    }

    #[test]
    fn same_size_is_a_copy() {
        let data = ramp(5 * 4 * 3, 37, 11);
        for filter in FILTERS {
            assert_eq!(resized(view(5, 4, &data), None, 5, 4, filter), data);
        }
    }

    #[test]
    fn constant_stays_constant() {
        let data = [7, 130, 255].repeat(40 * 30);
        for filter in FILTERS {
            for (width, height) in [(1, 1), (13, 30), (40, 7), (100, 90)] {
                let expected = [7, 130, 255].repeat((width * height) as usize);
                assert_eq!(
                    resized(view(40, 30, &data), None, width, height, filter),
                    expected,
                    "{filter:?}"
                );
            }
        }
    }

    #[test]
    fn halving_with_box_is_the_mean() {
        let data = [[0, 10, 255], [4, 20, 255], [8, 30, 255], [12, 40, 254]].concat();
        assert_eq!(
            resized(view(2, 2, &data), None, 1, 1, Filter::Box),
            [6, 25, 255]
        );
    }

    /// Expected bytes from Pillow 13.0.0: `Image.resize((3, 2), filter)`.
    #[test]
    fn equals_pillow() {
        let data = ramp(5 * 4 * 3, 37, 11);
        let expected: [[u8; 18]; 5] = [
            [
                54, 91, 128, 20, 57, 94, 242, 23, 60, 140, 177, 214, 106, 143, 180, 72, 109, 146,
            ],
            [
                89, 126, 163, 127, 36, 73, 166, 139, 112, 175, 148, 121, 85, 122, 159, 124, 161,
                134,
            ],
            [
                90, 127, 148, 126, 102, 131, 161, 135, 110, 157, 147, 137, 132, 145, 133, 124, 140,
                130,
            ],
            [
                83, 124, 148, 125, 100, 136, 165, 133, 106, 162, 146, 135, 138, 152, 131, 118, 141,
                135,
            ],
            [
                83, 126, 143, 124, 105, 145, 162, 128, 106, 162, 143, 134, 142, 159, 129, 116, 140,
                140,
            ],
        ];
        for (filter, expected) in FILTERS.into_iter().zip(expected) {
            assert_eq!(
                resized(view(5, 4, &data), None, 3, 2, filter),
                expected,
                "{filter:?}"
            );
        }
    }

    /// Expected bytes from Pillow 13.0.0: `Image.resize((2, 2), BILINEAR, (0.5, 1.25, 4.0, 3.5))`.
    #[test]
    fn fractional_box_equals_pillow() {
        let data = ramp(5 * 4 * 3, 37, 11);
        let part = SourceBox {
            left: 0.5,
            top: 1.25,
            right: 4.0,
            bottom: 3.5,
        };
        let expected = [120, 157, 148, 109, 125, 158, 167, 144, 108, 135, 167, 146];
        assert_eq!(
            resized(view(5, 4, &data), Some(part), 2, 2, Filter::Bilinear),
            expected
        );
    }

    /// Expected bytes from Pillow 13.0.0; with the horizontal pass first (Pillow 12.1) they are
    /// 74, 79, 84, 173, 178, 183.
    #[test]
    fn tall_images_shrink_vertically_first() {
        let data = ramp(2 * 9 * 3, 5, 5);
        let expected = [74, 79, 84, 172, 177, 182];
        assert_eq!(
            resized(view(2, 9, &data), None, 1, 2, Filter::Bicubic),
            expected
        );
    }

    #[test]
    fn aligned_box_of_the_target_size_is_a_crop() {
        let data = ramp(5 * 4 * 3, 37, 11);
        let part = SourceBox {
            left: 1.0,
            top: 2.0,
            right: 4.0,
            bottom: 4.0,
        };
        let expected = [&data[(2 * 5 + 1) * 3..][..9], &data[(3 * 5 + 1) * 3..][..9]].concat();
        for filter in FILTERS {
            assert_eq!(
                resized(view(5, 4, &data), Some(part), 3, 2, filter),
                expected
            );
        }
    }

    #[test]
    #[should_panic(expected = "reaches outside")]
    fn box_outside_of_the_image_panics() {
        let part = SourceBox {
            left: 0.0,
            top: f64::NAN,
            right: 2.0,
            bottom: 1.0,
        };
        let _ = resized(view(2, 1, &[0; 6]), Some(part), 1, 1, Filter::Box);
    }

    /// Expected bytes from Pillow 13.0.0: `Image.resize((2, 2), LANCZOS, (4.5, 3.5, 5, 4))`.
    #[test]
    fn box_in_the_corner_equals_pillow() {
        let data = ramp(5 * 4 * 3, 37, 11);
        let part = SourceBox {
            left: 4.5,
            top: 3.5,
            right: 5.0,
            bottom: 4.0,
        };
        let expected = [67, 98, 161, 50, 80, 179, 78, 102, 167, 60, 84, 189];
        assert_eq!(
            resized(view(5, 4, &data), Some(part), 2, 2, Filter::Lanczos),
            expected
        );
    }

    /// Expected bytes from Pillow 13.0.0, with a box of `(5 - 1e-9, 0, 5, 40)`.
    #[test]
    fn box_that_rounds_away_equals_pillow() {
        let data = ramp(5 * 40 * 3, 37, 11);
        let part = SourceBox {
            left: 5.0 - 1e-9,
            top: 0.0,
            right: 5.0,
            bottom: 40.0,
        };
        let actual = |filter| resized(view(5, 40, &data), Some(part), 2, 1, filter);
        assert_eq!(actual(Filter::Nearest), [0, 0, 0, 0, 0, 0]);
        assert_eq!(actual(Filter::Box), [0, 0, 0, 0, 0, 0]);
        assert_eq!(actual(Filter::Bilinear), [141, 134, 127, 141, 134, 127]);
    }
}
