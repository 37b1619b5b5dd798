//! The function table.

use std::env;
use std::ffi::c_char;
use std::mem::{offset_of, transmute_copy};
use std::ptr;
use std::sync::OnceLock;

use libloading::Library;
use ort_sys::{
    OrtApi, OrtApiBase, OrtErrorCode, OrtRunOptions, OrtSession, OrtStatusPtr, OrtValue,
};

use crate::{LIBRARY, faults, outputs};

/// The size of an entry.
const WORD: usize = size_of::<usize>();

/// The table of the real library, as far as this version of the interface knows it.
static REAL: OnceLock<OrtApi> = OnceLock::new();
static TABLE: OnceLock<OrtApi> = OnceLock::new();
static BASE: OrtApiBase = OrtApiBase {
    GetApi: table,
    GetVersionString: version,
};

#[unsafe(no_mangle)]
extern "system" fn OrtGetApiBase() -> *const OrtApiBase {
    faults::fails("OrtGetApiBase");
    &raw const BASE
}

fn real_base() -> &'static OrtApiBase {
    static LOADED: OnceLock<(Library, usize)> = OnceLock::new();
    let (_, base) = LOADED.get_or_init(|| {
        let path = env::var_os(LIBRARY).expect("the variable names the library");
        // SAFETY: the file is ONNX Runtime, which applications load in this way.
        let library = unsafe { Library::new(path) }.expect("the real library is loaded");
        // SAFETY: this is its signature.
        let base: libloading::Symbol<'_, extern "system" fn() -> *const OrtApiBase> =
            unsafe { library.get(b"OrtGetApiBase") }.expect("it has the function");
        let base = base().expose_provenance();
        (library, base)
    });
    // SAFETY: the library is never unloaded.
    unsafe { &*ptr::with_exposed_provenance(*base) }
}

extern "system" fn version() -> *const c_char {
    faults::fails("GetVersionString");
    // SAFETY: this is a function of the real library.
    unsafe { (real_base().GetVersionString)() }
}

extern "system" fn table(version: u32) -> *const OrtApi {
    if faults::fails("GetApi") {
        return ptr::null();
    }
    // SAFETY: this is a function of the real library.
    let real = unsafe { (real_base().GetApi)(version) };
    if real.is_null() {
        return real;
    }
    // SAFETY: the table is at least as long as that of the asked version, and constant.
    let real = REAL.get_or_init(|| unsafe { real.read() });
    ptr::from_ref(TABLE.get_or_init(|| wrapped(real)))
}

/// The real functions.
pub(crate) fn real() -> &'static OrtApi {
    REAL.get().expect("the table was asked for")
}

/// Returns the entry at a place of the real table, a function of type `F`.
fn entry<F>(place: usize) -> F {
    let table = ptr::from_ref(real()).cast::<usize>();
    // SAFETY: the wrappers name places in the table, and the type of the entry there.
    unsafe { transmute_copy(&*table.add(place)) }
}

/// Ends the process: a function that is not in the list must not be called past the faults.
extern "system" fn unlisted() {
    unreachable!("a function of ONNX Runtime is called that the fake library does not list");
}

/// Makes the wrapper of functions with these parameters and a status.
macro_rules! wrapper {
    ($wrapper:ident, $($value:ident: $type:ident),+) => {
        unsafe extern "system" fn $wrapper<const PLACE: usize, $($type),+>($($value: $type),+) -> OrtStatusPtr {
            if faults::fails(name(PLACE)) {
                return planned_error();
            }
            let real: unsafe extern "system" fn($($type),+) -> OrtStatusPtr = entry(PLACE);
            // SAFETY: the caller keeps the contract of the real function.
            unsafe { real($($value),+) }
        }
    };
}
wrapper!(with_1, a: A);
wrapper!(with_2, a: A, b: B);
wrapper!(with_3, a: A, b: B, c: C);
wrapper!(with_4, a: A, b: B, c: C, d: D);
wrapper!(with_5, a: A, b: B, c: C, d: D, e: E);
wrapper!(with_6, a: A, b: B, c: C, d: D, e: E, f: F);
wrapper!(with_7, a: A, b: B, c: C, d: D, e: E, f: F, g: G);

/// Makes the wrapper of functions without a status, which cannot fail.
macro_rules! plain_wrapper {
    ($wrapper:ident, $($value:ident: $type:ident),+) => {
        unsafe extern "system" fn $wrapper<const PLACE: usize, $($type),+>($($value: $type),+) {
            faults::fails(name(PLACE));
            let real: unsafe extern "system" fn($($type),+) = entry(PLACE);
            // SAFETY: the caller keeps the contract of the real function.
            unsafe { real($($value),+) }
        }
    };
}
plain_wrapper!(plain_1, a: A);
plain_wrapper!(plain_2, a: A, b: B);

fn planned_error() -> OrtStatusPtr {
    // SAFETY: the text ends with 0, and is copied.
    unsafe { (real().CreateStatus)(OrtErrorCode::ORT_FAIL, c"planned failure".as_ptr()) }
}

/// Runs an inference, and changes its output if that is the fault.
#[allow(clippy::too_many_arguments)]
unsafe extern "system" fn run(
    session: *mut OrtSession,
    options: *const OrtRunOptions,
    input_names: *const *const c_char,
    inputs: *const *const OrtValue,
    input_count: usize,
    output_names: *const *const c_char,
    output_count: usize,
    outputs: *mut *mut OrtValue,
) -> OrtStatusPtr {
    if faults::fails("Run") {
        return planned_error();
    }
    // SAFETY: the caller keeps the contract of the real function.
    let status = unsafe {
        (real().Run)(
            session,
            options,
            input_names,
            inputs,
            input_count,
            output_names,
            output_count,
            outputs,
        )
    };
    if status.0.is_null()
        && let Some(fault) = faults::of_output()
    {
        // SAFETY: the real function has written an output, and the caller owns it now.
        unsafe { outputs::change(fault, &mut *outputs) };
    }
    status
}

/// Lists the wrapped functions by their wrappers, and the functions that stay as they are.
macro_rules! functions {
    ($($wrapper:ident $types:tt: $($name:ident)+;)+ => $($same:ident)+) => {
        fn name(place: usize) -> &'static str {
            const NAMES: &[(usize, &str)] =
                &[$($((offset_of!(OrtApi, $name) / WORD, stringify!($name))),+),+];
            let mut names = NAMES.iter();
            names.find(|(listed, _)| *listed == place).expect("it is listed").1
        }

        fn wrapped(real: &OrtApi) -> OrtApi {
            let all: [extern "system" fn(); size_of::<OrtApi>() / WORD] = [unlisted; size_of::<OrtApi>() / WORD];
            // SAFETY: the table has nothing but pointers to functions. Those that are called have their own type.
            let mut table: OrtApi = unsafe { transmute_copy(&all) };
            $(functions!(@set table $wrapper $types $($name)+);)+
            table.Run = run;
            $(table.$same = real.$same;)+
            table
        }
    };
    (@set $table:ident $wrapper:ident $types:tt $($name:ident)+) => {
        $(functions!(@one $table $wrapper $types $name);)+
    };
    (@one $table:ident $wrapper:ident ($($type:tt)+) $name:ident) => {
        $table.$name = $wrapper::<{ offset_of!(OrtApi, $name) / WORD }, $($type),+>;
    };
}

functions! {
    with_1(_):
        EnableTelemetryEvents DisableTelemetryEvents CreateSessionOptions CreateRunOptions RunOptionsSetTerminate
        RunOptionsUnsetTerminate GetAllocatorWithDefaultOptions DisablePerSessionThreads EnableMemPattern
        DisableMemPattern EnableCpuMemArena DisableCpuMemArena;
    with_2(_ _):
        CloneSessionOptions SetSessionExecutionMode SetSessionLogId SetSessionLogSeverityLevel
        SetSessionLogVerbosityLevel SetSessionGraphOptimizationLevel SetIntraOpNumThreads SetInterOpNumThreads
        SessionGetInputCount SessionGetOutputCount SessionGetOverridableInitializerCount IsTensor
        GetTensorMutableData GetTensorShapeElementCount CastTypeInfoToTensorInfo GetOnnxTypeFromTypeInfo
        GetTensorElementType GetDimensionsCount GetTensorTypeAndShape GetTypeInfo MemoryInfoGetName MemoryInfoGetId
        MemoryInfoGetMemType MemoryInfoGetType AllocatorFree AllocatorGetInfo GetAvailableProviders
        ReleaseAvailableProviders UpdateEnvWithCustomLogLevel GetTensorMemoryInfo GetValueType HasValue;
    with_3(_ _ _):
        CreateEnv SessionGetInputTypeInfo SessionGetOutputTypeInfo GetDimensions GetSymbolicDimensions
        AllocatorAlloc AddSessionConfigEntry CreateAllocator;
    with_4(_ _ _ _): CreateSession SessionGetInputName SessionGetOutputName;
    with_5(_ _ _ _ _): CreateSessionFromArray CreateEnvWithCustomLogger CreateMemoryInfo CreateTensorAsOrtValue;
    with_6(_ _ _ _ _ _): CreateEnvWithCustomLoggerAndGlobalThreadPools;
    with_7(_ _ _ _ _ _ _): CreateTensorWithDataAsOrtValue;
    plain_1(_):
        ReleaseEnv ReleaseMemoryInfo ReleaseSession ReleaseValue ReleaseRunOptions ReleaseTypeInfo
        ReleaseTensorTypeAndShapeInfo ReleaseSessionOptions ReleaseAllocator;
    plain_2(_ _): MemoryInfoGetDeviceType;
    => CreateStatus GetErrorCode GetErrorMessage ReleaseStatus GetBuildInfoString
}
