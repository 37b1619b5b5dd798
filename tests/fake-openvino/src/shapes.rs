//! The shapes of the C interface.

use std::ptr;

/// `ov_shape_t`.
#[repr(C)]
pub(crate) struct Shape {
    rank: i64,
    dims: *mut i64,
}

/// `ov_dimension_t`, and `ov_rank_t`: the least and the greatest size.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Dimension {
    least: i64,
    most: i64,
}

/// `ov_partial_shape_t`.
#[repr(C)]
pub(crate) struct PartialShape {
    rank: Dimension,
    dims: *mut Dimension,
}

impl Dimension {
    fn fixed(size: i64) -> Self {
        Self {
            least: size,
            most: size,
        }
    }
}

impl Shape {
    pub(crate) fn new(sizes: &[i64]) -> Self {
        Self {
            rank: sizes.len() as i64,
            dims: leak(sizes.to_vec()),
        }
    }

    /// Returns a shape as the caller of `ov_shape_create` describes it.
    pub(crate) fn copied(rank: i64, dims: *const i64) -> Self {
        // SAFETY: the caller passes an array of this length.
        let sizes = unsafe { std::slice::from_raw_parts(dims, rank as usize) };
        Self::new(sizes)
    }

    pub(crate) fn sizes(&self) -> Vec<i64> {
        // SAFETY: the array is of `new`, and has this length.
        unsafe { std::slice::from_raw_parts(self.dims, self.rank as usize) }.to_vec()
    }

    pub(crate) fn free(&mut self) {
        free(self.dims, self.rank);
        self.rank = 0;
        self.dims = ptr::null_mut();
    }
}

impl PartialShape {
    pub(crate) fn new(sizes: &[i64]) -> Self {
        let dims = sizes.iter().map(|size| Dimension::fixed(*size)).collect();
        Self {
            rank: Dimension::fixed(sizes.len() as i64),
            dims: leak(dims),
        }
    }

    pub(crate) fn free(&mut self) {
        free(self.dims, self.rank.most);
        self.rank = Dimension::fixed(0);
        self.dims = ptr::null_mut();
    }
}

fn leak<T>(values: Vec<T>) -> *mut T {
    Box::leak(values.into_boxed_slice()).as_mut_ptr()
}

fn free<T>(values: *mut T, count: i64) {
    if !values.is_null() {
        let values = ptr::slice_from_raw_parts_mut(values, count as usize);
        // SAFETY: `leak` made it, with this length, and it is freed once: the field is null from now on.
        drop(unsafe { Box::from_raw(values) });
    }
}
