//! `classify inspect`: the preprocessing of a model and the source of each value.

use backend_api::{BackendInfo, DeclaredOutput};
use image_classification::{FittedPreprocessing, ScoreKind, Setting};
use serde_json::{Value, json};

use crate::args::TextOrJson;
use crate::destination;
use crate::fields;
use crate::isolated;
use crate::options::InspectOptions;
use crate::resolve::{self, Resolver};
use crate::terminal::Messages;
use evaluation::text::printable;

/// Prints what is known of the model. Nothing is classified.
pub fn run(options: &InspectOptions, messages: &mut Messages) -> anyhow::Result<()> {
    let model = options.engine.local_model();
    let overrides = options.preprocess.overrides(ScoreKind::Auto)?;
    let (resolved, _) = Resolver::new(&overrides).find(model, messages)?;
    let backend = isolated::open(&options.engine, |_| {})?;
    let fitted = resolved.fit(backend.info())?;
    messages.notes(&fitted.notes);
    let text = match options.format {
        TextOrJson::Json => {
            let json = json(options, &fitted, backend.info());
            format!("{json:#}\n")
        }
        TextOrJson::Text => text(options, &fitted, backend.info()),
    };
    destination::print(&text)
}

fn text(options: &InspectOptions, fitted: &FittedPreprocessing, info: &BackendInfo) -> String {
    let mut lines = vec![
        format!("model: {}", options.engine.model.display()),
        format!("engine: {}", info.description()),
        format!(
            "input: {} {}, {}",
            info.input.name,
            info.input,
            fitted.layout.order()
        ),
        format!("output: {} {}", info.output.name, info.output),
    ];
    let place = info.output_place();
    let others = info.outputs.iter().enumerate();
    let others = others.filter(|(other, _)| Some(*other) != place);
    lines.extend(others.map(|(_, output)| format!("other output: {output}")));
    lines.push(String::new());
    lines.extend(resolve::lines(fitted));
    let lines: Vec<String> = lines.iter().map(|line| printable(line)).collect();
    lines.join("\n") + "\n"
}

/// Returns the shortest decimals that give the same 32-bit numbers, one for each of the input's channels.
fn decimals(values: [f32; 3], channels: usize) -> Vec<f64> {
    let values = values.into_iter().take(channels);
    let decimals = values.map(|value| value.to_string().parse().unwrap_or_else(|_| value.into()));
    decimals.collect()
}

/// Returns an output, with its type or the reason why the engine cannot give it.
fn declared(output: &DeclaredOutput) -> Value {
    match output {
        DeclaredOutput::Usable(spec) => json!({ "name": spec.name, "type": spec.to_string() }),
        DeclaredOutput::Unusable { name, reason } => json!({ "name": name, "unusable": reason }),
    }
}

fn json(options: &InspectOptions, fitted: &FittedPreprocessing, info: &BackendInfo) -> Value {
    let resolved = &fitted.resolved;
    let preprocess = &resolved.preprocess;
    let (width, height) = (fitted.layout.width(), fitted.layout.height());
    let stated_by = |setting: Setting| {
        let others = setting.others.iter();
        let others: Vec<Value> = others
            .map(|(value, origin)| json!({ "value": value, "stated_by": fields::origin(origin) }))
            .collect();
        let stated = json!({ "by": fields::origin(&setting.origin), "others": others });
        (setting.key.to_owned(), stated)
    };
    json!({
        "schema_version": 1,
        "model": options.engine.model.to_string_lossy(),
        "backend": info.backend,
        "engine_version": info.engine_version,
        "input": { "name": info.input.name, "type": info.input.to_string() },
        "output": { "name": info.output.name, "type": info.output.to_string() },
        // All of them, in the order of the model.
        "outputs": info.outputs.iter().map(declared).collect::<Vec<_>>(),
        // What `--preprocess` reads.
        "preprocess": {
            "color": preprocess.color.to_string(),
            "mean": decimals(preprocess.mean, fitted.layout.channels()),
            "scale": decimals(preprocess.scale, fitted.layout.channels()),
            "resize": preprocess.resize.to_string(),
            "interpolation": preprocess.interpolation.to_string(),
            "size": [height, width],
            "layout": fitted.layout.order().to_string(),
        },
        "stated_by": fitted.settings().into_iter().map(stated_by).collect::<serde_json::Map<_, _>>(),
        "assumed": resolved.assumed,
        "labels": fitted.labels.as_ref().map(|labels| {
            json!({ "count": labels.value.len(), "by": fields::origin(&labels.origin) })
        }),
        "scores": fitted.reading.as_ref().map(|reading| {
            json!({
                "rule": reading.interpretation.scoring,
                "by": fields::origin(&reading.origin),
                "output": reading.kind,
            })
        }),
        "unused": resolved.unused,
    })
}
