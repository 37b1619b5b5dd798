//! Separable convolution in two passes, each rounded to 8 bits, which Pillow and torch share: sums are exact in `i32`,
//! so that the order of addition is free.

mod passes;
mod weights;
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
mod x86;

use std::collections::TryReserveError;

use passes::{GROUP, HorizontalPass, LONG_ROW, NARROW, VerticalPass};

pub(crate) use passes::Part;
pub(crate) use weights::{Coefficients, Convolution, as_f64, reserved, to_index};

use crate::{CHANNELS, zeros};

/// Does the pass along x, into `out`.
pub(crate) fn narrow(
    src: Part<'_>,
    columns: Coefficients,
    out: &mut [u8],
) -> Result<(), TryReserveError> {
    HorizontalPass::new(columns)?.rows(src, out)
}

/// Does the pass along y, into `out`.
pub(crate) fn flatten(
    src: Part<'_>,
    rows: Coefficients,
    out: &mut [u8],
) -> Result<(), TryReserveError> {
    VerticalPass::new(rows, src.row_len())?.rows(src, out);
    Ok(())
}

/// Returns an upper bound of the bytes that both passes allocate, with the result. Width first; `windows` are the most
/// source pixels of a window along each axis.
pub(crate) fn memory_bytes(
    size: (u32, u32),
    to: (u32, u32),
    windows: (usize, usize),
    horizontal_first: bool,
) -> u64 {
    const SMALL: u64 = 1 << 16;
    const REAL: u64 = size_of::<f64>() as u64;
    const FIXED: u64 = size_of::<i32>() as u64;
    let channels = CHANNELS as u64;
    let columns = (u64::from(size.0), u64::from(to.0), windows.0 as u64);
    let rows = (u64::from(size.1), u64::from(to.1), windows.1 as u64);
    let out = columns.1 * rows.1 * channels;
    if size == to {
        return out;
    }
    let (out_row, row) = (columns.1 * channels, columns.0 * channels);
    let positions = 2 * REAL * (columns.1 + rows.1);
    let is_long = columns.0 > LONG_ROW as u64;
    let horizontal = if columns.0 == columns.1 {
        0
    } else if is_long {
        // A sum for each row at a time.
        REAL * columns.2 + rows.0.max(GROUP as u64) * FIXED * channels
    } else {
        // Weights, and again as the processor takes them; four rows with room for the last loads.
        let windows = columns.1 * (2 * FIXED * (columns.2 + 8) + 64);
        let padded = GROUP as u64 * (row + out_row) + 64 * columns.2.max(64);
        REAL * columns.2 + windows + padded
    };
    let narrow_first = columns.0 != columns.1 && horizontal_first;
    let flattened_row = if narrow_first { out_row } else { row };
    let vertical = if rows.0 == rows.1 {
        0
    } else if flattened_row < NARROW as u64 {
        REAL * rows.2
    } else {
        (REAL + 3 * FIXED) * rows.2
    };
    let between = if horizontal == 0 || vertical == 0 {
        0
    } else if !narrow_first {
        GROUP as u64 * row
    } else if is_long {
        rows.0 * out_row
    } else {
        band_rows(rows.2, rows.0) * out_row
    };
    out + positions + horizontal + vertical + between + SMALL
}

/// Rows that are held between the passes: room for many besides one window's, so that rows are moved to the front
/// only now and then.
fn band_rows(window: u64, height: u64) -> u64 {
    (window + window.max(32)).min(height) + GROUP as u64
}

/// Does the horizontal pass, then the vertical one. Of the first one's rows only those are held that a window spans,
/// which keeps them in the processor's caches.
pub(crate) fn narrow_then_flatten(
    src: Part<'_>,
    horizontal: Coefficients,
    vertical: Coefficients,
    out: &mut [u8],
) -> Result<(), TryReserveError> {
    let stride = horizontal.len * CHANNELS;
    let height = src.height();
    let mut narrow = HorizontalPass::new(horizontal)?;
    let mut flatten = VerticalPass::new(vertical, stride)?;
    // Long rows have few neighbours, and their weights are computed once for all of them.
    let (capacity, group) = if narrow.is_long() {
        (height, height)
    } else {
        let rows = band_rows(vertical.most() as u64, height as u64);
        (rows as usize, GROUP)
    };
    let mut band = zeros(capacity * stride)?;
    let mut held = 0..0;
    for (index, out_row) in out.chunks_exact_mut(stride).enumerate() {
        let window = vertical.window(index);
        while held.end < window.start + window.len {
            if held.len() + group.min(height - held.end) > capacity {
                let kept = window.start.clamp(held.start, held.end)..held.end;
                band.copy_within((kept.start - held.start) * stride..held.len() * stride, 0);
                held = kept;
            }
            let count = group.min(height - held.end);
            let rest = Part {
                data: &src.data[held.end * src.stride..],
                ..src
            };
            narrow.rows(rest, &mut band[held.len() * stride..][..count * stride])?;
            held.end += count;
        }
        let band = Part {
            data: &band[..held.len() * stride],
            stride,
        };
        flatten.row(index, band, held.start, out_row);
    }
    Ok(())
}

/// Does the vertical pass, then the horizontal one, a group of rows at a time.
pub(crate) fn flatten_then_narrow(
    src: Part<'_>,
    horizontal: Coefficients,
    vertical: Coefficients,
    out: &mut [u8],
) -> Result<(), TryReserveError> {
    let stride = src.row_len();
    let mut narrow = HorizontalPass::new(horizontal)?;
    let mut flatten = VerticalPass::new(vertical, stride)?;
    let mut band = zeros(GROUP * stride)?;
    let mut indices = 0..vertical.len;
    for out_rows in out.chunks_mut(GROUP * horizontal.len * CHANNELS) {
        let mut count = 0;
        for (row, index) in band
            .chunks_exact_mut(stride)
            .zip(indices.by_ref().take(GROUP))
        {
            flatten.row(index, src, 0, row);
            count += 1;
        }
        narrow.rows(
            Part {
                data: &band[..count * stride],
                stride,
            },
            out_rows,
        )?;
    }
    Ok(())
}
