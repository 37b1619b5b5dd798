//! `classify inspect`: how images are prepared for a model, and who states each value.

use backend_api::BackendInfo;
use image_classification::ScoreKind;
use serde_json::{Value, json};

use crate::args::InspectFormat;
use crate::engines;
use crate::messages::{Messages, printable};
use crate::options::InspectOptions;
use crate::output;
use crate::recipe::{Fitted, Recipe};

/// Prints what is known of the model. Nothing is classified.
pub fn run(options: &InspectOptions, messages: &mut Messages) -> anyhow::Result<()> {
    let model = &options.engine.model;
    let recipe = Recipe::find(model, &options.recipe, messages)?;
    let backend = engines::open(&options.engine)?;
    let fitted = recipe.fit(
        backend.info(),
        ScoreKind::Auto,
        messages,
        |_| Ok(Vec::new()),
    )?;
    let text = match options.format {
        InspectFormat::Json => {
            let json = json(options, &recipe, &fitted, backend.info());
            format!("{json:#}\n")
        }
        InspectFormat::Text => text(options, &recipe, &fitted, backend.info()),
    };
    output::print(&text)
}

fn text(options: &InspectOptions, recipe: &Recipe, fitted: &Fitted, info: &BackendInfo) -> String {
    let mut lines = vec![
        format!("model: {}", options.engine.model.display()),
        format!("engine: {}", engines::description(info)),
        format!(
            "input: {} {}, {}",
            info.input.name,
            info.input,
            fitted.layout.order()
        ),
        format!("output: {} {}", info.output.name, info.output),
        String::new(),
    ];
    lines.extend(recipe.lines(fitted));
    let lines: Vec<String> = lines.iter().map(|line| printable(line)).collect();
    lines.join("\n") + "\n"
}

/// The shortest decimals that give the same 32-bit numbers.
fn decimals(values: [f32; 3]) -> [f64; 3] {
    values.map(|value| value.to_string().parse().unwrap_or_else(|_| value.into()))
}

fn json(options: &InspectOptions, recipe: &Recipe, fitted: &Fitted, info: &BackendInfo) -> Value {
    let resolved = &recipe.resolved;
    let preprocess = &resolved.preprocess;
    let (width, height) = (fitted.layout.width(), fitted.layout.height());
    let others = |others: &[(String, String)]| -> Vec<Value> {
        others
            .iter()
            .map(|(value, by)| json!({ "value": value, "stated_by": by }))
            .collect()
    };
    json!({
        "schema_version": 1,
        "model": options.engine.model.to_string_lossy(),
        "backend": info.backend,
        "engine_version": info.engine_version,
        "input": { "name": info.input.name, "type": info.input.to_string() },
        "output": { "name": info.output.name, "type": info.output.to_string() },
        // What `--preprocess` reads.
        "preprocess": {
            "color": preprocess.color.to_string(),
            "mean": decimals(preprocess.mean),
            "scale": decimals(preprocess.scale),
            "resize": preprocess.resize.to_string(),
            "interpolation": preprocess.interpolation.to_string(),
            "size": [height, width],
            "layout": fitted.layout.order().to_string(),
        },
        "stated_by": resolved.facts.iter().map(|fact| {
            (fact.key.to_owned(), json!({ "by": fact.by, "others": others(&fact.others) }))
        }).chain(recipe.input_facts(fitted).into_iter().map(|(key, _, by)| {
            (key.to_owned(), json!({ "by": by, "others": [] }))
        })).collect::<serde_json::Map<_, _>>(),
        "assumed": resolved.assumed,
        "labels": fitted.labels.as_ref().map(|labels| {
            json!({ "count": labels.value.len(), "by": labels.by })
        }),
        "scores": fitted.reading.as_ref().map(|reading| {
            json!({ "rule": reading.interpretation.scoring, "by": reading.by, "output": reading.kind })
        }),
        "unused": recipe.unused,
    })
}
