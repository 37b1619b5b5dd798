//! `classify inspect --recipes`: the preprocessing of published weights.

use globset::{GlobBuilder, GlobMatcher};
use image_classification::sources::SourceSettings;
use image_classification::{Recipe, WithOrigin};
use serde_json::{Value, json};

use crate::args::TextOrJson;
use crate::destination;
use crate::errors::Hinted;

/// Prints the recipes whose names match `pattern`.
pub fn run(pattern: &str, format: TextOrJson) -> anyhow::Result<()> {
    let matcher = matcher(pattern)?;
    let recipes: Vec<(String, SourceSettings)> = Recipe::all()
        .map(|recipe| (recipe.to_string(), recipe.settings()))
        .filter(|(name, _)| matcher.is_match(name))
        .collect();
    if recipes.is_empty() {
        // A full name may be misspelled.
        let hint = match pattern.parse::<Recipe>() {
            Err(error) if pattern.contains(':') && !is_glob(pattern) => error.to_string(),
            _ => "a pattern is a part of a name, or has `*` and `?`: 'torchvision:resnet*'"
                .to_owned(),
        };
        return Err(Hinted::new(format!("no recipe matches {pattern}"), hint).into());
    }
    destination::print(match format {
        TextOrJson::Text => text(&recipes),
        TextOrJson::Json => format!("{:#}\n", json(&recipes)),
    })
}

fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

/// Matches whole names if `pattern` has a wildcard, else their parts. Case does not matter.
fn matcher(pattern: &str) -> anyhow::Result<GlobMatcher> {
    let glob = if is_glob(pattern) {
        pattern.to_owned()
    } else {
        format!("*{}*", globset::escape(pattern))
    };
    let glob = GlobBuilder::new(&glob).case_insensitive(true).build();
    let glob = glob.map_err(|error| {
        Hinted::new(
            format!(
                "--recipes {pattern} is not a valid pattern: {}",
                error.kind()
            ),
            "use a part of a name, or `*` and `?`",
        )
    })?;
    Ok(glob.compile_matcher())
}

fn value<T>(stated: Option<&WithOrigin<T>>, text: impl Fn(&T) -> String) -> String {
    stated.map_or_else(String::new, |stated| text(&stated.value))
}

fn three(values: &[f32; 3]) -> String {
    values.map(|value| value.to_string()).join(",")
}

fn text(recipes: &[(String, SourceSettings)]) -> String {
    let heading = [
        "recipe",
        "color",
        "mean",
        "scale",
        "resize",
        "interpolation",
        "size",
    ];
    let mut rows = vec![heading.map(str::to_owned)];
    for (name, settings) in recipes {
        rows.push([
            name.clone(),
            value(settings.color.as_ref(), ToString::to_string),
            value(settings.mean.as_ref(), three),
            value(settings.scale.as_ref(), three),
            value(settings.resize.as_ref(), ToString::to_string),
            value(settings.interpolation.as_ref(), ToString::to_string),
            value(settings.size.as_ref(), ToString::to_string),
        ]);
        if let Some((size, resize)) = &settings.resize_at {
            let mut row = [const { String::new() }; 7];
            "  at another size".clone_into(&mut row[0]);
            row[4] = resize.value.to_string();
            row[6] = size.to_string();
            rows.push(row);
        }
    }
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(&widths);
        let cells = cells.map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Returns the recipes in the notation of a preprocessing file, each with its name.
fn json(recipes: &[(String, SourceSettings)]) -> Value {
    let recipes = recipes.iter().map(|(name, settings)| {
        let decimals = |values: &[f32; 3]| {
            values.map(|value| value.to_string().parse::<f64>().unwrap_or(value.into()))
        };
        let size = settings.size.as_ref();
        json!({
            "name": name,
            "preprocess": {
                "color": settings.color.as_ref().map(|it| it.value.to_string()),
                "mean": settings.mean.as_ref().map(|it| decimals(&it.value)),
                "scale": settings.scale.as_ref().map(|it| decimals(&it.value)),
                "resize": settings.resize.as_ref().map(|it| it.value.to_string()),
                "interpolation": settings.interpolation.as_ref().map(|it| it.value.to_string()),
                "size": size.map(|it| [it.value.height, it.value.width]),
            },
            "at_another_size": settings.resize_at.as_ref().map(|(size, resize)| json!({
                "size": [size.height, size.width],
                "resize": resize.value.to_string(),
            })),
        })
    });
    json!({ "schema_version": 1, "recipes": recipes.collect::<Vec<_>>() })
}
