//! `classify devices`: every engine and device, or why it cannot be used.

// Only these engines have libraries; without any engine nothing is left but the error.
#![cfg_attr(not(any(feature = "openvino", feature = "onnx")), allow(dead_code))]

use std::fmt::Write as _;
#[cfg(feature = "openvino")]
use std::path::Path;
use std::path::PathBuf;

use backend_api::FoundLibrary;
use serde_json::{Value, json};

use crate::args::{Backend, DevicesArgs, TextOrJson};
use crate::destination;
use crate::errors::{self, Hinted, Joined};
#[cfg(feature = "openvino")]
use crate::fields::with_flags;
use crate::runtimes::RuntimePath;
#[cfg(any(feature = "openvino", feature = "onnx"))]
use crate::runtimes::library_dirs;
use evaluation::text::printable;

/// Prints what there is. What is missing is part of the answer; without any engine it is an error.
pub fn run(args: &DevicesArgs) -> anyhow::Result<()> {
    let built_in: &[(Backend, fn(&DevicesArgs) -> Engine)] = &[
        #[cfg(feature = "openvino")]
        (Backend::Openvino, openvino),
        #[cfg(feature = "onnx")]
        (Backend::Onnx, onnx),
        #[cfg(feature = "rten")]
        (Backend::Rten, rten),
    ];
    if args.backend == Some(Backend::Remote) {
        return Err(Hinted::new(
            "a server does not tell its devices",
            "describe its model with `classify inspect --backend remote --url URL -m NAME --preprocess PATH`",
        )
        .into());
    }
    let engines: Vec<Engine> = built_in
        .iter()
        .filter(|(backend, _)| args.backend.is_none_or(|only| only == *backend))
        .map(|(_, ask)| ask(args))
        .collect();
    let text = match args.format {
        TextOrJson::Text => texts(&engines).join("\n"),
        TextOrJson::Json => {
            let engines: Vec<Value> = engines.iter().map(Engine::json).collect();
            format!("{:#}\n", json!({ "schema_version": 1, "engines": engines }))
        }
    };
    destination::print(&text)?;
    if engines.iter().any(|engine| engine.found.is_ok()) {
        return Ok(());
    }
    Err(Hinted::new(
        "no engine can be used",
        "install an engine; the list above says what is missing",
    )
    .into())
}

/// Returns the text of each engine. Those that were looked for in vain share one, with one list of the searched places.
fn texts(engines: &[Engine]) -> Vec<String> {
    let errors = engines.iter().map(|engine| match &engine.found {
        Ok(_) => (String::new(), None),
        Err(error) => (errors::chain(error), errors::hint(error)),
    });
    let errors: Vec<_> = errors.collect();
    let joined = Joined::of(&errors);
    let mut texts = Vec::new();
    for (place, (engine, (message, hint))) in engines.iter().zip(&errors).enumerate() {
        texts.push(match (&joined, &engine.found) {
            (Some(joined), Err(_)) if joined.places.first() == Some(&place) => {
                let names = joined.places.iter().map(|place| engines[*place].name);
                let names: Vec<&str> = names.collect();
                unusable_text(&names.join(", "), &joined.message, joined.hint.as_deref())
            }
            (Some(joined), Err(_)) if joined.places.contains(&place) => continue,
            (_, Err(_)) => unusable_text(engine.name, message, hint.as_deref()),
            (_, Ok(found)) => engine.text(found),
        });
    }
    texts
}

fn unusable_text(names: &str, message: &str, hint: Option<&str>) -> String {
    let mut text = format!("{names}: cannot be used\n");
    for line in message.lines() {
        let _ = writeln!(text, "  {line}");
    }
    if let Some(hint) = hint {
        let _ = writeln!(text, "  hint: {}", errors::ways_out(hint, "        "));
    }
    text
}

/// An engine, and what it says of itself.
struct Engine {
    backend: &'static str,
    name: &'static str,
    found: Result<Found, anyhow::Error>,
}

struct Found {
    /// `None` for an engine that is compiled in.
    library: Option<Library>,
    version: String,
    plugins: Option<String>,
    devices: Vec<Device>,
    unusable: Vec<Unusable>,
}

/// The library of an engine, and the step of the search that found it.
struct Library {
    path: PathBuf,
    origin: String,
}

impl Library {
    fn new(found: FoundLibrary, named: &RuntimePath) -> Self {
        Self {
            origin: named.origin(&found),
            path: found.path,
        }
    }
}

/// A device, in the words of the report.
struct Device {
    name: String,
    full_name: String,
    /// In the order of the report: key, text, and the value for machines.
    details: Vec<(&'static str, String, Value)>,
    /// Too long for people.
    properties: Vec<String>,
}

struct Unusable {
    name: String,
    reason: String,
    remedy: String,
    message: Option<String>,
}

impl Engine {
    fn text(&self, found: &Found) -> String {
        let mut text = String::new();
        let library = match &found.library {
            Some(library) => format!(
                "{} ({})",
                printable(&library.path.to_string_lossy()),
                library.origin
            ),
            None => "built in".to_owned(),
        };
        let version = printable(&found.version);
        let _ = writeln!(text, "{} {version}\n  library: {library}", self.name);
        if let Some(plugins) = &found.plugins {
            let _ = writeln!(text, "  plugins file: {}", printable(plugins));
        }
        for device in &found.devices {
            let _ = writeln!(
                text,
                "  {:<8} {}",
                device.name,
                printable(&device.full_name)
            );
            for (key, detail, _) in &device.details {
                let _ = writeln!(
                    text,
                    "           {}: {}",
                    key.replace('_', " "),
                    printable(detail)
                );
            }
        }
        if !found.unusable.is_empty() {
            text += "  not usable:\n";
        }
        for device in &found.unusable {
            let _ = writeln!(
                text,
                "  {:<8} {}\n           hint: {}",
                device.name,
                printable(&device.reason),
                printable(&device.remedy)
            );
        }
        text
    }

    fn json(&self) -> Value {
        match &self.found {
            Err(error) => json!({
                "backend": self.backend,
                "engine": self.name,
                "error": {
                    "code": errors::code(error),
                    "message": errors::chain(error),
                    "hint": errors::hint(error),
                },
            }),
            Ok(found) => json!({
                "backend": self.backend,
                "engine": self.name,
                "engine_version": found.version,
                "library": found.library.as_ref().map(|library| library.path.to_string_lossy()),
                "found_by": found.library.as_ref().map(|library| library.origin.clone()),
                "plugins": found.plugins,
                "devices": found.devices.iter().map(|device| {
                    let mut object = serde_json::Map::new();
                    object.insert("name".into(), device.name.clone().into());
                    object.insert("full_name".into(), device.full_name.clone().into());
                    for (key, _, value) in &device.details {
                        object.insert((*key).to_owned(), value.clone());
                    }
                    object.insert("properties".into(), device.properties.clone().into());
                    Value::Object(object)
                }).collect::<Vec<_>>(),
                "unusable": found.unusable.iter().map(|device| json!({
                    "name": device.name,
                    "reason": device.reason,
                    "hint": device.remedy,
                    "message": device.message,
                })).collect::<Vec<_>>(),
            }),
        }
    }
}

#[cfg(feature = "openvino")]
fn openvino(args: &DevicesArgs) -> Engine {
    let ask = || {
        let (named, plugins) = (args.runtime.openvino_lib()?, args.runtime.plugins()?);
        let list =
            backend_openvino::devices(named.path.as_deref(), &library_dirs(), plugins.as_deref());
        match list {
            Ok(list) => Ok((named, list)),
            Err(error) => Err(named.explain(error, "openvino")),
        }
    };
    Engine {
        backend: "openvino",
        name: "OpenVINO",
        found: ask().map_err(Into::into).map(|(named, list)| Found {
            library: Some(Library::new(list.library, &named)),
            version: list.version,
            plugins: list.plugins.as_deref().map(lossy),
            devices: list.available.into_iter().map(device).collect(),
            unusable: list
                .unusable
                .into_iter()
                .map(|device| Unusable {
                    name: device.name,
                    reason: device.reason,
                    remedy: with_flags(&device.remedy),
                    message: device.message,
                })
                .collect(),
        }),
    }
}

#[cfg(feature = "openvino")]
fn device(info: backend_openvino::DeviceInfo) -> Device {
    let mut details = Vec::new();
    if let Some(alias) = &info.alias {
        details.push((
            "alias_of",
            format!(
                "{} ({}): not real hardware, but an alias in the plugins file",
                alias.plugin, alias.location
            ),
            json!({ "plugin": alias.plugin, "location": alias.location }),
        ));
    }
    let default = info.default_precision.as_deref().unwrap_or("unknown");
    details.extend([
        (
            "precisions",
            info.precisions.join(", "),
            json!(info.precisions),
        ),
        (
            "default_precision",
            default.to_owned(),
            json!(info.default_precision),
        ),
        (
            "capabilities",
            info.capabilities.join(", "),
            json!(info.capabilities),
        ),
    ]);
    if let Some([least, most, step]) = info.request_range {
        details.push((
            "infer_requests",
            format!("{least} to {most} in steps of {step}"),
            json!({ "least": least, "most": most, "step": step }),
        ));
    }
    Device {
        name: info.name,
        full_name: info.full_name,
        details,
        properties: info.properties,
    }
}

#[cfg(feature = "onnx")]
fn onnx(args: &DevicesArgs) -> Engine {
    let ask = || {
        let named = args.runtime.onnxruntime_lib()?;
        match backend_onnx::providers(named.path.as_deref(), &library_dirs()) {
            Ok(list) => Ok((named, list)),
            Err(error) => Err(named.explain(error, "onnx")),
        }
    };
    Engine {
        backend: "onnx",
        name: "ONNX Runtime",
        found: ask().map_err(Into::into).map(|(named, list)| Found {
            library: Some(Library::new(list.library, &named)),
            version: list.version,
            plugins: None,
            devices: list
                .available
                .into_iter()
                .map(|provider| Device {
                    name: provider.device.to_owned(),
                    full_name: provider.name.to_owned(),
                    details: Vec::new(),
                    properties: Vec::new(),
                })
                .collect(),
            unusable: list
                .missing
                .into_iter()
                .map(|provider| Unusable {
                    name: provider.device.to_owned(),
                    reason: format!("this build of ONNX Runtime has no {}", provider.name),
                    remedy: provider.remedy.to_owned(),
                    message: None,
                })
                .collect(),
        }),
    }
}

#[cfg(feature = "rten")]
fn rten(_: &DevicesArgs) -> Engine {
    Engine {
        backend: "rten",
        name: "RTen",
        found: Ok(Found {
            library: None,
            version: backend_rten::VERSION.to_owned(),
            plugins: None,
            devices: vec![Device {
                name: "CPU".to_owned(),
                full_name: "this processor, by code in Rust".to_owned(),
                details: Vec::new(),
                properties: Vec::new(),
            }],
            unusable: Vec::new(),
        }),
    }
}

#[cfg(feature = "openvino")]
fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
