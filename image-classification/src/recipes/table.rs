//! The tables of recipes, one for each library. `tests/reference/recipes.py` makes them by asking the libraries.

use std::str::FromStr;

use super::Recipe;
use crate::sources::SourceSettings;
use crate::{ImageSize, WithOrigin};

/// A library that publishes weights.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Library {
    /// The name before the colon.
    pub name: &'static str,
    /// The character between the name of a model and that of its weights.
    pub separator: char,
    /// The recipes, an empty line, and a line for each model: its name, and its weights with the index of their recipe,
    /// the default weights first.
    table: &'static str,
}

pub(super) static LIBRARIES: [Library; 3] = [
    Library {
        name: "torchvision",
        separator: '@',
        table: include_str!("torchvision.txt"),
    },
    Library {
        name: "timm",
        separator: '.',
        table: include_str!("timm.txt"),
    },
    Library {
        name: "keras",
        separator: '@',
        table: include_str!("keras.txt"),
    },
];

/// A model of a library.
#[derive(Debug, Clone, Copy)]
pub(super) struct Model {
    library: &'static Library,
    pub name: &'static str,
    weights: &'static str,
}

impl Library {
    /// Returns the models in the order of their names.
    pub fn models(&'static self) -> impl Iterator<Item = Model> {
        self.parts().1.lines().filter_map(move |line| {
            let (name, weights) = line.split_once(' ')?;
            Some(Model {
                library: self,
                name,
                weights,
            })
        })
    }

    /// Returns the line of the recipe with that index.
    fn recipe(&self, index: usize) -> Option<&'static str> {
        let lines = self.parts().0.lines();
        lines.filter(|line| !line.starts_with('#')).nth(index)
    }

    fn parts(&self) -> (&'static str, &'static str) {
        self.table.split_once("\n\n").unwrap_or_default()
    }
}

impl Model {
    /// Returns the recipes of the model's weights. The first one is that of the default weights.
    pub fn recipes(self) -> impl Iterator<Item = Recipe> {
        self.weights.split(' ').filter_map(move |weights| {
            let (weights, index) = weights.split_once('=')?;
            Some(Recipe {
                library: self.library,
                model: self.name,
                weights,
                values: self.library.recipe(index.parse().ok()?)?,
                is_default: false,
            })
        })
    }
}

/// Reads the values of a recipe, which are by `origin`: the order of the channels, mean, scale, resize, filter and size of
/// the input, and then, for some, another size and its resize. `None` if they cannot be read.
pub(super) fn settings(values: &str, origin: &str) -> Option<SourceSettings> {
    let mut values = values.split(' ');
    let mut next = || values.next();
    Some(SourceSettings {
        color: parsed(next()?, origin),
        mean: three(next()?, origin),
        scale: three(next()?, origin),
        resize: parsed(next()?, origin),
        interpolation: parsed(next()?, origin),
        size: Some(WithOrigin::new(size(next()?)?, origin)),
        resize_at: match next() {
            Some(input) => size(input).zip(parsed(next()?, origin)),
            None => None,
        },
        ..SourceSettings::default()
    })
}

fn parsed<T: FromStr>(text: &str, origin: &str) -> Option<WithOrigin<T>> {
    text.parse()
        .ok()
        .map(|value| WithOrigin::new(value, origin))
}

fn three(text: &str, origin: &str) -> Option<WithOrigin<[f32; 3]>> {
    let values: Option<Vec<f32>> = text.split(',').map(|value| value.parse().ok()).collect();
    let values = values?.try_into().ok()?;
    Some(WithOrigin::new(values, origin))
}

/// Reads `WIDTHxHEIGHT`.
fn size(text: &str) -> Option<ImageSize> {
    let (width, height) = text.split_once('x')?;
    Some(ImageSize {
        width: width.parse().ok()?,
        height: height.parse().ok()?,
    })
}
