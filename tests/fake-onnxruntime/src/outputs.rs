//! Faults of an output.

use std::ptr;

use ort_sys::{ONNXTensorElementDataType, OrtApi, OrtStatusPtr, OrtValue};

use crate::table;

/// The classes of the model of the tests.
const CLASSES: usize = 12;

/// Replaces an output, `f32[1, 12]`, by one with a fault.
///
/// # Safety
///
/// `output` is a value of the caller.
pub(crate) unsafe fn change(fault: &str, output: &mut *mut OrtValue) {
    let api = table::real();
    let mut values = [0_f32; CLASSES + 1];
    // SAFETY: the tensor has as many values.
    unsafe {
        ptr::copy_nonoverlapping(data(api, *output), values.as_mut_ptr(), CLASSES);
        (api.ReleaseValue)(*output);
    }
    *output = ptr::null_mut();
    match fault {
        "nan" => values.fill(f32::NAN),
        "infinity" => values.fill(f32::INFINITY),
        "none" => return,
        _ => (),
    }
    let (one, classes) = (1, CLASSES as i64);
    let shape: &[i64] = match fault {
        "more" => &[one, classes + 1],
        "fewer" => &[one, classes - 1],
        "rank" => &[classes],
        "empty" => &[one, 0],
        _ => &[one, classes],
    };
    let count: i64 = shape.iter().product();
    let element_type = if fault == "type" {
        ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32
    } else {
        ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
    };
    let mut allocator = ptr::null_mut();
    // SAFETY: the pointers are to variables that live as long as the calls, and the new tensor has `count` values.
    unsafe {
        expect((api.GetAllocatorWithDefaultOptions)(&raw mut allocator));
        let (sizes, rank) = (shape.as_ptr(), shape.len());
        expect((api.CreateTensorAsOrtValue)(
            allocator,
            sizes,
            rank,
            element_type,
            output,
        ));
        if count > 0 {
            ptr::copy_nonoverlapping(values.as_ptr(), data(api, *output), count as usize);
        }
    }
}

/// Returns the memory of a tensor.
///
/// # Safety
///
/// `tensor` is a tensor of numbers with 32 bits.
unsafe fn data(api: &OrtApi, tensor: *mut OrtValue) -> *mut f32 {
    let mut data = ptr::null_mut();
    // SAFETY: the caller says so.
    unsafe { expect((api.GetTensorMutableData)(tensor, &raw mut data)) };
    data.cast()
}

fn expect(status: OrtStatusPtr) {
    assert!(status.0.is_null(), "a function of the real library failed");
}
