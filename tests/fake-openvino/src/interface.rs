//! The functions. Each counts as a call, except `ov_get_last_err_msg`, which tells nothing of the engine.
//!
//! Handles are boxes: `None` is the null pointer. A function that returns a handle writes it to a place that the caller
//! has set to null.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;

use crate::faults::fails;
use crate::shapes::{Dimension, PartialShape, Shape};
use crate::tensor::{F32, INPUT, OUTPUT, Request, Tensor};

type Status = i32;
type Handle<T> = Option<Box<T>>;

const OK: Status = 0;
const GENERAL_ERROR: Status = -1;
const NOT_FOUND: Status = -5;
const OUT_OF_BOUNDS: Status = -6;

/// `ov_core_t`, `ov_model_t` and `ov_compiled_model_t`: there is one model, and it has no state.
struct Stateless {
    _used: u8,
}

/// `ov_output_const_port_t`.
struct Port {
    name: &'static CStr,
    shape: &'static [i64],
}

/// `ov_version_t`.
#[repr(C)]
struct Version {
    number: *const c_char,
    description: *const c_char,
}

/// `ov_available_devices_t`.
#[repr(C)]
struct Devices {
    names: *mut *mut c_char,
    count: usize,
}

fn stateless() -> Handle<Stateless> {
    Box::new(Stateless { _used: 0 }).into()
}

fn port(name: &'static CStr, shape: &'static [i64]) -> Handle<Port> {
    Box::new(Port { name, shape }).into()
}

fn input_port() -> Handle<Port> {
    port(c"input", &INPUT)
}

fn output_port() -> Handle<Port> {
    port(c"output", &OUTPUT)
}

/// Counts the call of the function `name`, and writes `value` to `place` unless it is to fail.
fn give<T>(name: &str, place: &mut T, value: impl FnOnce() -> T) -> Status {
    if fails(name) {
        return GENERAL_ERROR;
    }
    *place = value();
    OK
}

/// The same for the port with an index.
fn give_first(name: &str, index: usize, place: &mut Handle<Port>, first: Handle<Port>) -> Status {
    match index {
        0 => give(name, place, || first),
        _ => OUT_OF_BOUNDS,
    }
}

/// Counts the call of the function `name`. Returns its status.
fn done(name: &str) -> Status {
    give(name, &mut (), || ())
}

/// Counts the call of a function that cannot fail.
fn freed(name: &str) {
    let _ = fails(name);
}

fn text(text: &CStr) -> *mut c_char {
    CString::from(text).into_raw()
}

/// Writes the value of a property, if there is one.
fn give_property(
    name: &str,
    values: &[(&str, &'static CStr)],
    key: *const c_char,
    place: &mut *mut c_char,
) -> Status {
    // SAFETY: the caller passes a C string.
    let key = unsafe { CStr::from_ptr(key) }.to_string_lossy();
    match values.iter().find(|(known, _)| *known == key) {
        Some((_, value)) => give(name, place, || text(value)),
        None if fails(name) => GENERAL_ERROR,
        None => NOT_FOUND,
    }
}

#[unsafe(no_mangle)]
extern "C" fn ov_get_last_err_msg() -> *const c_char {
    c"the fake engine fails on demand".as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn ov_get_openvino_version(version: &mut Version) -> Status {
    give("ov_get_openvino_version", version, || Version {
        number: c"2026.4.1-fake".as_ptr(),
        description: c"a fake engine".as_ptr(),
    })
}

#[unsafe(no_mangle)]
extern "C" fn ov_version_free(version: &mut Version) {
    freed("ov_version_free");
    version.number = ptr::null();
    version.description = ptr::null();
}

#[unsafe(no_mangle)]
extern "C" fn ov_core_create(core: &mut Handle<Stateless>) -> Status {
    give("ov_core_create", core, stateless)
}

#[unsafe(no_mangle)]
extern "C" fn ov_core_free(core: Handle<Stateless>) {
    freed("ov_core_free");
    drop(core);
}

#[unsafe(no_mangle)]
extern "C" fn ov_core_get_available_devices(_: &Stateless, devices: &mut Devices) -> Status {
    give("ov_core_get_available_devices", devices, || Devices {
        names: Box::into_raw(Box::new(text(c"CPU"))),
        count: 1,
    })
}

/// Leaves the names: there is one of them.
#[unsafe(no_mangle)]
extern "C" fn ov_available_devices_free(devices: &mut Devices) {
    freed("ov_available_devices_free");
    devices.names = ptr::null_mut();
    devices.count = 0;
}

#[unsafe(no_mangle)]
extern "C" fn ov_core_get_property(
    _: &Stateless,
    _device: *const c_char,
    key: *const c_char,
    value: &mut *mut c_char,
) -> Status {
    const VALUES: [(&str, &CStr); 3] = [
        (
            "SUPPORTED_PROPERTIES",
            c"FULL_DEVICE_NAME PERFORMANCE_HINT CACHE_DIR",
        ),
        ("FULL_DEVICE_NAME", c"a fake device"),
        ("OPTIMIZATION_CAPABILITIES", c"FP32"),
    ];
    give_property("ov_core_get_property", &VALUES, key, value)
}

#[unsafe(no_mangle)]
extern "C" fn ov_core_set_property(
    _: &Stateless,
    _device: *const c_char,
    _key: *const c_char,
    _value: *const c_char,
) -> Status {
    done("ov_core_set_property")
}

#[unsafe(no_mangle)]
extern "C" fn ov_core_read_model(
    _: &Stateless,
    _path: *const c_char,
    _weights: *const c_char,
    model: &mut Handle<Stateless>,
) -> Status {
    give("ov_core_read_model", model, stateless)
}

#[unsafe(no_mangle)]
extern "C" fn ov_core_compile_model(
    _: &Stateless,
    _model: &Stateless,
    _device: *const c_char,
    _properties: usize,
    compiled: &mut Handle<Stateless>,
) -> Status {
    give("ov_core_compile_model", compiled, stateless)
}

#[unsafe(no_mangle)]
extern "C" fn ov_model_free(model: Handle<Stateless>) {
    freed("ov_model_free");
    drop(model);
}

#[unsafe(no_mangle)]
extern "C" fn ov_model_inputs_size(_: &Stateless, count: &mut usize) -> Status {
    give("ov_model_inputs_size", count, || 1)
}

#[unsafe(no_mangle)]
extern "C" fn ov_model_outputs_size(_: &Stateless, count: &mut usize) -> Status {
    give("ov_model_outputs_size", count, || 1)
}

#[unsafe(no_mangle)]
extern "C" fn ov_model_const_input_by_index(
    _: &Stateless,
    index: usize,
    port: &mut Handle<Port>,
) -> Status {
    give_first("ov_model_const_input_by_index", index, port, input_port())
}

#[unsafe(no_mangle)]
extern "C" fn ov_model_const_output_by_index(
    _: &Stateless,
    index: usize,
    port: &mut Handle<Port>,
) -> Status {
    give_first("ov_model_const_output_by_index", index, port, output_port())
}

#[unsafe(no_mangle)]
extern "C" fn ov_port_get_any_name(port: &Port, name: &mut *mut c_char) -> Status {
    give("ov_port_get_any_name", name, || text(port.name))
}

#[unsafe(no_mangle)]
extern "C" fn ov_port_get_element_type(_: &Port, element_type: &mut u32) -> Status {
    give("ov_port_get_element_type", element_type, || F32)
}

#[unsafe(no_mangle)]
extern "C" fn ov_port_get_partial_shape(port: &Port, shape: &mut PartialShape) -> Status {
    give("ov_port_get_partial_shape", shape, || {
        PartialShape::new(port.shape)
    })
}

#[unsafe(no_mangle)]
extern "C" fn ov_partial_shape_free(shape: &mut PartialShape) {
    freed("ov_partial_shape_free");
    shape.free();
}

#[unsafe(no_mangle)]
extern "C" fn ov_rank_is_dynamic(_: Dimension) -> bool {
    freed("ov_rank_is_dynamic");
    false
}

#[unsafe(no_mangle)]
extern "C" fn ov_compiled_model_free(compiled: Handle<Stateless>) {
    freed("ov_compiled_model_free");
    drop(compiled);
}

#[unsafe(no_mangle)]
extern "C" fn ov_compiled_model_inputs_size(_: &Stateless, count: &mut usize) -> Status {
    give("ov_compiled_model_inputs_size", count, || 1)
}

#[unsafe(no_mangle)]
extern "C" fn ov_compiled_model_outputs_size(_: &Stateless, count: &mut usize) -> Status {
    give("ov_compiled_model_outputs_size", count, || 1)
}

#[unsafe(no_mangle)]
extern "C" fn ov_compiled_model_input(_: &Stateless, port: &mut Handle<Port>) -> Status {
    give("ov_compiled_model_input", port, input_port)
}

#[unsafe(no_mangle)]
extern "C" fn ov_compiled_model_output_by_index(
    _: &Stateless,
    index: usize,
    port: &mut Handle<Port>,
) -> Status {
    give_first(
        "ov_compiled_model_output_by_index",
        index,
        port,
        output_port(),
    )
}

#[unsafe(no_mangle)]
extern "C" fn ov_compiled_model_get_property(
    _: &Stateless,
    key: *const c_char,
    value: &mut *mut c_char,
) -> Status {
    const VALUES: [(&str, &CStr); 3] = [
        ("EXECUTION_DEVICES", c"CPU"),
        ("INFERENCE_PRECISION_HINT", c"f32"),
        ("OPTIMAL_NUMBER_OF_INFER_REQUESTS", c"2"),
    ];
    give_property("ov_compiled_model_get_property", &VALUES, key, value)
}

#[unsafe(no_mangle)]
extern "C" fn ov_compiled_model_create_infer_request(
    _: &Stateless,
    request: &mut Handle<Request>,
) -> Status {
    give("ov_compiled_model_create_infer_request", request, || {
        Some(Box::new(Request::new()))
    })
}

#[unsafe(no_mangle)]
extern "C" fn ov_infer_request_free(request: Handle<Request>) {
    freed("ov_infer_request_free");
    drop(request);
}

#[unsafe(no_mangle)]
extern "C" fn ov_infer_request_get_input_tensor(
    request: &Request,
    tensor: &mut Handle<Tensor>,
) -> Status {
    give("ov_infer_request_get_input_tensor", tensor, || {
        Some(Box::new(request.input.borrow().clone()))
    })
}

#[unsafe(no_mangle)]
extern "C" fn ov_infer_request_get_input_tensor_by_index(
    request: &Request,
    _index: usize,
    tensor: &mut Handle<Tensor>,
) -> Status {
    give("ov_infer_request_get_input_tensor_by_index", tensor, || {
        Some(Box::new(request.input.borrow().clone()))
    })
}

#[unsafe(no_mangle)]
extern "C" fn ov_infer_request_get_output_tensor_by_index(
    request: &Request,
    _index: usize,
    tensor: &mut Handle<Tensor>,
) -> Status {
    give(
        "ov_infer_request_get_output_tensor_by_index",
        tensor,
        || Some(Box::new(request.output.borrow().clone())),
    )
}

#[unsafe(no_mangle)]
extern "C" fn ov_infer_request_set_input_tensor(request: &Request, tensor: &Tensor) -> Status {
    let status = done("ov_infer_request_set_input_tensor");
    if status == OK {
        *request.input.borrow_mut() = tensor.clone();
    }
    status
}

#[unsafe(no_mangle)]
extern "C" fn ov_infer_request_start_async(request: &Request) -> Status {
    let status = done("ov_infer_request_start_async");
    if status == OK {
        request.infer();
    }
    status
}

#[unsafe(no_mangle)]
extern "C" fn ov_infer_request_wait_for(_: &Request, _milliseconds: i64) -> Status {
    done("ov_infer_request_wait_for")
}

#[unsafe(no_mangle)]
extern "C" fn ov_infer_request_cancel(_: &Request) -> Status {
    done("ov_infer_request_cancel")
}

#[unsafe(no_mangle)]
extern "C" fn ov_tensor_create(_: u32, shape: Shape, tensor: &mut Handle<Tensor>) -> Status {
    give("ov_tensor_create", tensor, || {
        Some(Box::new(Tensor::zeros(&shape.sizes())))
    })
}

#[unsafe(no_mangle)]
extern "C" fn ov_tensor_free(tensor: Handle<Tensor>) {
    freed("ov_tensor_free");
    drop(tensor);
}

#[unsafe(no_mangle)]
extern "C" fn ov_tensor_get_shape(tensor: &Tensor, shape: &mut Shape) -> Status {
    give("ov_tensor_get_shape", shape, || Shape::new(&tensor.shape))
}

#[unsafe(no_mangle)]
extern "C" fn ov_tensor_get_element_type(tensor: &Tensor, element_type: &mut u32) -> Status {
    give("ov_tensor_get_element_type", element_type, || {
        tensor.element_type
    })
}

#[unsafe(no_mangle)]
extern "C" fn ov_tensor_get_size(tensor: &Tensor, count: &mut usize) -> Status {
    give("ov_tensor_get_size", count, || tensor.data.len())
}

#[unsafe(no_mangle)]
extern "C" fn ov_tensor_get_byte_size(tensor: &Tensor, size: &mut usize) -> Status {
    give("ov_tensor_get_byte_size", size, || 4 * tensor.data.len())
}

#[unsafe(no_mangle)]
extern "C" fn ov_tensor_data(tensor: &Tensor, data: &mut *mut c_void) -> Status {
    give("ov_tensor_data", data, || {
        tensor.data.as_ptr().cast_mut().cast()
    })
}

#[unsafe(no_mangle)]
extern "C" fn ov_shape_create(rank: i64, dims: *const i64, shape: &mut Shape) -> Status {
    give("ov_shape_create", shape, || Shape::copied(rank, dims))
}

#[unsafe(no_mangle)]
extern "C" fn ov_shape_free(shape: &mut Shape) -> Status {
    let status = done("ov_shape_free");
    if status == OK {
        shape.free();
    }
    status
}
