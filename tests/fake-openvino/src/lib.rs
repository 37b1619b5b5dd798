//! A library with the C interface of OpenVINO, as far as the `openvino` crate calls it for this project. It computes one
//! model, `tests/data/plain.onnx`, and fails where [`FAULT`] asks for it. Tests of the command line load it in the place
//! of OpenVINO, through the same search and the same loader.
//!
//! The functions of the interface are in `interface.rs`; the references and boxes of their parameters have the
//! representation of the pointers that C passes.
// The interface of C needs it: names that are not mangled, strings and arrays behind pointers.
#![allow(unsafe_code)]

mod faults;
mod interface;
mod shapes;
mod tensor;

/// The variable that names a file, to which each call of a function adds a line with its name.
pub const CALLS: &str = "CLASSIFY_FAKE_ENGINE_CALLS";

/// The variable that names the fault: `KIND@N`. The call, or the inference, number `N` has it; the first has number 1.
///
/// | kind | `N` counts | fault |
/// |---|---|---|
/// | `error` | calls | returns a general error |
/// | `errors` | calls | the same for this call and all later ones |
/// | `abort`, `segfault` | calls | ends the process by SIGABRT or SIGSEGV |
/// | `exit` | calls | ends the process with exit code 0 |
/// | `hang` | calls | never returns |
/// | `nan`, `infinity` | inferences | every value of the output |
/// | `more`, `fewer`, `rank`, `empty`, `negative`, `huge` | inferences | another shape than declared |
/// | `leak-memory`, `leak-descriptor`, `leak-thread` | inferences | each from this one on keeps 64 KiB, an open file, or a thread |
/// | `short` | inferences | fewer bytes than the shape has |
/// | `type` | inferences | another element type than declared, of the same size |
pub const FAULT: &str = "CLASSIFY_FAKE_ENGINE_FAULT";

/// The kinds of [`FAULT`] that are about the output of an inference.
pub const OUTPUT_FAULTS: [&str; 10] = [
    "nan", "infinity", "more", "fewer", "rank", "empty", "negative", "huge", "short", "type",
];
