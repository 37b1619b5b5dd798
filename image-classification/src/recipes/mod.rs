//! The recipes of weights that libraries publish.

mod family;
mod table;

use std::fmt;
use std::str::FromStr;

pub(crate) use self::family::advice;
use self::table::{LIBRARIES, Library, Model};
use crate::sources::SourceSettings;

/// The number of names that an error suggests.
const MOST_SUGGESTIONS: usize = 5;

/// The minimum likeness of a name that an error suggests for a text without a library.
const LEAST_LIKENESS: f64 = 0.85;

/// The preprocessing of weights that a library publishes: order of the channels, mean, scale, resize, filter, and size
/// of the input. Weights without a file that states these values need it.
///
/// [`FromStr`] takes `torchvision:resnet50` for the default weights of a model, and
/// `torchvision:resnet50@IMAGENET1K_V1`, `timm:resnet50.a1_in1k` or `keras:resnet50` for certain weights. Case does not
/// matter. If exactly one name matches without `_` and `-`, these do not matter either. [`Display`](fmt::Display) gives
/// the whole name.
///
/// | library | reference |
/// |---|---|
/// | `torchvision` | `weights.transforms()` on Pillow's images |
/// | `timm` | `timm.data.create_transform` for evaluation |
/// | `keras` | `keras.utils.load_img(path, target_size=…)` and `preprocess_input` |
///
/// ```
/// use image_classification::{PreprocessOverrides, Recipe};
///
/// let recipe: Recipe = "torchvision:mobilenet_v2@IMAGENET1K_V1".parse()?;
/// assert_eq!(recipe.settings().resize.unwrap().value.to_string(), "short:256");
/// let overrides = PreprocessOverrides {
///     recipe: Some(recipe),
///     ..PreprocessOverrides::default()
/// };
/// # Ok::<_, image_classification::RecipeError>(())
/// ```
///
/// Recipes are equal if their whole names are, whether the text named the weights or not.
#[derive(Clone)]
pub struct Recipe {
    library: &'static Library,
    model: &'static str,
    weights: &'static str,
    values: &'static str,
    /// True if no weights were named: these are the default ones.
    is_default: bool,
}

/// The reason why a text names no recipe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// No library is named, or an unknown one.
    #[error(
        "{name:?} is not a recipe; expected LIBRARY:MODEL, where LIBRARY is torchvision, timm or keras{}",
        meant(.nearest)
    )]
    Library {
        /// The given text.
        name: String,
        /// The recipes of that name, one for each library that has it; else the most similar names.
        nearest: Vec<String>,
    },
    /// The library has no such model or weights.
    #[error("there is no recipe {name:?}; the nearest names are {}", nearest.join(", "))]
    Unknown {
        /// The given text.
        name: String,
        /// The most similar names, at least one.
        nearest: Vec<String>,
    },
}

impl RecipeError {
    /// Returns the next step for the user.
    pub const fn hint(&self) -> &'static str {
        "`Recipe::all()` lists the recipes"
    }
}

impl Recipe {
    /// Returns the recipes of all weights: by library, then by model, default weights first.
    pub fn all() -> impl Iterator<Item = Self> {
        LIBRARIES
            .iter()
            .flat_map(Library::models)
            .flat_map(Model::recipes)
    }

    /// Returns the values of the recipe. Their origin is its name.
    pub fn settings(&self) -> SourceSettings {
        table::settings(self.values, &format!("recipe {self}")).unwrap_or_default()
    }

    /// Returns the whole names of the model's other weights that have another recipe, if no weights were named.
    pub(crate) fn alternatives(&self) -> Vec<String> {
        if !self.is_default {
            return Vec::new();
        }
        let models = self.library.models();
        models
            .filter(|model| model.name == self.model)
            .flat_map(Model::recipes)
            .filter(|other| other.values != self.values)
            .map(|other| other.to_string())
            .collect()
    }
}

impl PartialEq for Recipe {
    fn eq(&self, other: &Self) -> bool {
        let name = |recipe: &Self| (recipe.library.name, recipe.model, recipe.weights);
        name(self) == name(other)
    }
}

impl Eq for Recipe {}

/// Writes `torchvision:resnet50@IMAGENET1K_V2`. If the library names no weights, writes only the library and the model.
impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.library.name, self.model)?;
        match self.weights {
            "" => Ok(()),
            weights => write!(f, "{}{weights}", self.library.separator),
        }
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipe({self}: {})", self.values)
    }
}

impl FromStr for Recipe {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown_library = || RecipeError::Library {
            name: text.to_owned(),
            nearest: in_all_libraries(text.rsplit(':').next().unwrap_or(text)),
        };
        let (library, name) = text.split_once(':').ok_or_else(unknown_library)?;
        let library = LIBRARIES
            .iter()
            .find(|known| known.name.eq_ignore_ascii_case(library))
            .ok_or_else(unknown_library)?;
        let same = [str::eq_ignore_ascii_case, |a: &str, b: &str| {
            bare(a).eq(bare(b))
        }];
        for same in same {
            let mut found = named(library, name, same);
            if let (Some(recipe), None) = (found.next(), found.next()) {
                return Ok(recipe);
            }
        }
        Err(RecipeError::Unknown {
            name: text.to_owned(),
            nearest: nearest(library, name),
        })
    }
}

/// Returns the recipes that `name` names: certain weights, or the default weights of a model.
fn named<'a>(
    library: &'static Library,
    name: &'a str,
    same: fn(&str, &str) -> bool,
) -> impl Iterator<Item = Recipe> + 'a {
    let (model, weights) = match name.split_once(library.separator) {
        Some((model, weights)) => (model, Some(weights)),
        None => (name, None),
    };
    let models = library
        .models()
        .filter(move |known| same(known.name, model));
    models.filter_map(move |model| {
        let mut recipes = model.recipes();
        match weights {
            Some(weights) => recipes.find(|recipe| same(recipe.weights, weights)),
            None => recipes.next().map(|recipe| Recipe {
                is_default: true,
                ..recipe
            }),
        }
    })
}

/// Returns the characters of a name without `_`, `-` and case.
fn bare(name: &str) -> impl Iterator<Item = char> + '_ {
    name.chars()
        .filter(|character| !matches!(character, '_' | '-'))
        .map(|character| character.to_ascii_lowercase())
}

/// Returns the recipes of `name` in all libraries that have it; else the most similar name of each library, if it is
/// similar enough to be meant.
fn in_all_libraries(name: &str) -> Vec<String> {
    let same = |a: &str, b: &str| bare(a).eq(bare(b));
    let found = LIBRARIES.iter().filter_map(|library| {
        let (model, _) = name.split_once(library.separator).unwrap_or((name, ""));
        named(library, name, same).next()?;
        let mut models = library.models().filter(|known| same(known.name, model));
        let weights = name.get(model.len()..).unwrap_or_default();
        Some(format!("{}:{}{weights}", library.name, models.next()?.name))
    });
    let found: Vec<String> = found.collect();
    if !found.is_empty() {
        return found;
    }
    let similar = LIBRARIES.iter().filter_map(|library| {
        let models = library.models().map(|known| known.name);
        models
            .map(|known| (likeness(known, name), known))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(likeness, _)| *likeness >= LEAST_LIKENESS)
            .map(|(_, known)| format!("{}:{known}", library.name))
    });
    similar.collect()
}

/// Returns the question that ends the error of a text without a library.
fn meant(nearest: &[String]) -> String {
    let names: Vec<String> = nearest.iter().map(|name| format!("`{name}`")).collect();
    match &names[..] {
        [] => String::new(),
        [name] => format!("; did you mean {name}?"),
        [others @ .., last] => format!("; did you mean {} or {last}?", others.join(", ")),
    }
}

/// Returns the names that are most similar to `name`, the best one first: weights, if `name` has a known model and
/// weights, else models.
fn nearest(library: &'static Library, name: &str) -> Vec<String> {
    let (model, weights) = name.split_once(library.separator).unwrap_or((name, ""));
    let known = library.models().find(|it| bare(it.name).eq(bare(model)));
    let mut names: Vec<(f64, String)> = match known.filter(|_| !weights.is_empty()) {
        Some(model) => model
            .recipes()
            .map(|recipe| (likeness(recipe.weights, weights), recipe.to_string()))
            .collect(),
        None => library
            .models()
            .map(|it| {
                (
                    likeness(it.name, model),
                    format!("{}:{}", library.name, it.name),
                )
            })
            .collect(),
    };
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    let names = names.into_iter().take(MOST_SUGGESTIONS);
    names.map(|(_, name)| name).collect()
}

fn likeness(one: &str, other: &str) -> f64 {
    let lower = |name: &str| bare(name).collect::<String>();
    strsim::jaro_winkler(&lower(one), &lower(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(name: &str) -> String {
        match name.parse::<Recipe>() {
            Ok(recipe) => recipe.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_recipe_equals_itself_by_its_whole_name() {
        let recipe = |name: &str| name.parse::<Recipe>().unwrap();
        let (short, whole) = (
            recipe("torchvision:resnet50"),
            recipe("torchvision:resnet50@IMAGENET1K_V2"),
        );
        assert_eq!(short, whole);
        assert_ne!(short, recipe("torchvision:resnet50@IMAGENET1K_V1"));
        assert_ne!(short, recipe("keras:resnet50"));
    }

    #[test]
    fn every_recipe_has_all_values_and_is_found_by_its_name() {
        let mut count = [0; LIBRARIES.len()];
        for recipe in Recipe::all() {
            let name = recipe.to_string();
            let settings = recipe.settings();
            assert!(
                settings.color.is_some()
                    && settings.mean.is_some()
                    && settings.scale.is_some()
                    && settings.resize.is_some()
                    && settings.interpolation.is_some()
                    && settings.size.is_some(),
                "{recipe:?}"
            );
            let has_another_size = recipe.values.split(' ').count() == 8;
            assert_eq!(settings.resize_at.is_some(), has_another_size, "{recipe:?}");
            let library = LIBRARIES.iter().position(|it| *it == *recipe.library);
            count[library.unwrap()] += 1;
            assert_eq!(name.parse::<Recipe>().unwrap().to_string(), name);
        }
        // The numbers of weights that the libraries list.
        assert_eq!(count, [129, 2052, 40]);
    }

    #[test]
    fn names_are_those_of_the_libraries() {
        for (given, expected) in [
            ("torchvision:resnet50", "torchvision:resnet50@IMAGENET1K_V2"),
            (
                "torchvision:ResNet50@imagenet1k_v1",
                "torchvision:resnet50@IMAGENET1K_V1",
            ),
            (
                "torchvision:regnet_x_1_6gf",
                "torchvision:regnet_x_1_6gf@IMAGENET1K_V2",
            ),
            ("timm:resnet50", "timm:resnet50.a1_in1k"),
            ("timm:resnet50.tv_in1k", "timm:resnet50.tv_in1k"),
            ("keras:mobilenet_v2", "keras:mobilenet_v2"),
            ("Keras:MobileNetV2", "keras:mobilenet_v2"),
            (
                "torchvision:regnetx16gf",
                "there is no recipe \"torchvision:regnetx16gf\"; the nearest names are torchvision:regnet_x_16gf, \
                 torchvision:regnet_x_1_6gf",
            ),
            (
                "torchvision:resnet50@V3",
                "there is no recipe \"torchvision:resnet50@V3\"; the nearest names are torchvision:resnet50@IMAGENET1K_V",
            ),
            (
                "resnet50",
                "\"resnet50\" is not a recipe; expected LIBRARY:MODEL, where LIBRARY is torchvision, timm or keras; did you mean \
                 `torchvision:resnet50`, `timm:resnet50` or `keras:resnet50`?",
            ),
            (
                "resnet-18",
                "\"resnet-18\" is not a recipe; expected LIBRARY:MODEL, where LIBRARY is torchvision, timm or keras; did you mean \
                 `torchvision:resnet18` or `timm:resnet18`?",
            ),
            (
                "resnet50.tv_in1k",
                "\"resnet50.tv_in1k\" is not a recipe; expected LIBRARY:MODEL, where LIBRARY is torchvision, timm or keras; did \
                 you mean `timm:resnet50.tv_in1k`?",
            ),
            (
                "caffe:alexnet",
                "\"caffe:alexnet\" is not a recipe; expected LIBRARY:MODEL, where LIBRARY is torchvision, timm or keras; did you \
                 mean `torchvision:alexnet`?",
            ),
        ] {
            let found = full(given);
            assert!(found.starts_with(expected), "{given}: {found}");
        }
    }

    #[test]
    fn a_text_like_no_name_gets_no_suggestion() {
        assert_eq!(
            full("zzz"),
            "\"zzz\" is not a recipe; expected LIBRARY:MODEL, where LIBRARY is torchvision, timm or keras"
        );
    }

    #[test]
    fn alternatives_are_weights_with_other_recipes() {
        let alternatives = |name: &str| name.parse::<Recipe>().unwrap().alternatives();
        assert_eq!(
            alternatives("torchvision:resnet50"),
            ["torchvision:resnet50@IMAGENET1K_V1"]
        );
        assert_eq!(alternatives("torchvision:resnet50@IMAGENET1K_V2"), [""; 0]);
        assert_eq!(alternatives("torchvision:alexnet"), [""; 0]);
    }
}
