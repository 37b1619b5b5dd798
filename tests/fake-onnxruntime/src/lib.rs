//! A library that hands out ONNX Runtime's own functions behind others, which count the calls and fail where [`FAULT`]
//! asks for it. Tests of the command line load it in the place of ONNX Runtime, through the same search and the same
//! loader; it loads the real library from [`LIBRARY`].
//!
//! The faults of calls are those of the fake OpenVINO, from the same file.
// The interface of C needs it: a name that is not mangled, and functions behind pointers.
#![allow(unsafe_code)]

#[path = "../../fake-openvino/src/faults.rs"]
mod faults;
mod outputs;
mod table;

/// The variable that names the real library.
pub const LIBRARY: &str = "CLASSIFY_FAKE_ENGINE_LIBRARY";

/// The variable that names a file, to which each call of a function adds a line with its name.
pub const CALLS: &str = "CLASSIFY_FAKE_ENGINE_CALLS";

/// The variable that names the fault: `KIND@N`. The call, or the inference, number `N` has it; the first has number 1.
///
/// | kind | `N` counts | fault |
/// |---|---|---|
/// | `error` | calls | returns a status with a general error; functions without a status do not fail |
/// | `errors` | calls | the same for this call and all later ones |
/// | `abort`, `segfault` | calls | ends the process by SIGABRT or SIGSEGV |
/// | `exit` | calls | ends the process with exit code 0 |
/// | `hang` | calls | never returns |
/// | `nan`, `infinity` | inferences | every value of the output |
/// | `more`, `fewer`, `rank`, `empty` | inferences | another shape than declared |
/// | `type` | inferences | another element type than declared, of the same size |
/// | `none` | inferences | no output |
pub const FAULT: &str = "CLASSIFY_FAKE_ENGINE_FAULT";

/// The kinds of [`FAULT`] that are about the output of an inference.
pub const OUTPUT_FAULTS: [&str; 8] = [
    "nan", "infinity", "more", "fewer", "rank", "empty", "type", "none",
];
