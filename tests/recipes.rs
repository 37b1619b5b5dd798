//! The pixels of every recipe against the hashes of those of torchvision, timm and Keras themselves, and the values against
//! their arithmetic. `tests/recipes/compare.py` compares every float with the libraries, and writes the hashes.

use std::collections::{BTreeMap, BTreeSet};

use backend_api::{BackendInfo, Dim, ElementType, TensorSpec};
use image_classification::{
    ColorOrder, Image, ImageLayout, ImageSize, InputLayout, Preprocess, PreprocessOverrides,
    Recipe, Resize, ResolvedPreprocessing,
};
use sha2::{Digest as _, Sha256};

/// The hashes of the pixels of each of [`SIZES`], by resize, filter and size of the input; and the values of [`PIXELS`], by
/// order of the channels, mean and scale.
const EXPECTED: &str = include_str!("data/recipes.txt");

/// The sizes of the images in `compare.py`.
const SIZES: [(u32, u32); 4] = [(500, 375), (333, 517), (64, 48), (1001, 37)];

/// The image that `compare.py` draws: a gradient with noise.
fn drawn(width: u32, height: u32) -> Image {
    let mut pixels = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let gradient = [
                255 * x / width,
                255 * y / height,
                255 * (x + y) / (width + height),
            ];
            for value in gradient {
                let place = pixels.len() as u32;
                let noise = place.wrapping_mul(2_654_435_761).wrapping_add(12345) >> 24;
                pixels.push(((value * 3 + noise) / 4) as u8);
            }
        }
    }
    Image::from_rgb(width, height, pixels).unwrap()
}

/// The pixels in `compare.py`.
const PIXELS: [u8; 9] = [0, 1, 2, 100, 150, 200, 255, 254, 253];

/// Returns what is expected, by its key.
fn expected() -> BTreeMap<&'static str, &'static str> {
    let lines = EXPECTED.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(": ").unwrap()).collect()
}

fn spec(dims: &[usize]) -> TensorSpec {
    let dims = dims.iter().copied().map(Dim::Fixed).collect();
    TensorSpec::new("x", ElementType::F32, dims)
}

/// Returns the preprocessing of each recipe for each size that it states.
fn fitted() -> Vec<(Recipe, ImageSize, Preprocess)> {
    let mut fitted = Vec::new();
    for recipe in Recipe::all() {
        let settings = recipe.settings();
        let sizes = settings.size.as_ref().map(|size| size.value).into_iter();
        let overrides = PreprocessOverrides {
            recipe: Some(recipe.clone()),
            ..PreprocessOverrides::default()
        };
        let resolved = ResolvedPreprocessing::from_overrides(&overrides).unwrap();
        for size in sizes.chain(settings.resize_at.iter().map(|(size, _)| *size)) {
            let input = [1, 3, size.height as usize, size.width as usize];
            let info = BackendInfo::new("none", spec(&input), spec(&[1, 10]));
            let of_size = resolved.clone().fit(&info).unwrap();
            fitted.push((recipe.clone(), size, of_size.resolved.preprocess));
        }
    }
    fitted
}

#[test]
fn pixels_are_those_of_the_libraries() {
    let images = SIZES.map(|(width, height)| drawn(width, height));
    let mut checked = 0;
    for (key, theirs) in expected() {
        let [resize, interpolation, size] = key.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{key}")
        };
        let Some((width, height)) = size.split_once('x') else {
            continue;
        };
        let pixels = Preprocess {
            color: ColorOrder::Rgb,
            resize: resize.parse().unwrap(),
            interpolation: interpolation.parse().unwrap(),
            ..Preprocess::OPENVINO_SAMPLE
        };
        let dims = [1, height.parse().unwrap(), width.parse().unwrap(), 3].map(Dim::Fixed);
        let spec = TensorSpec::new("x", ElementType::U8, dims.to_vec());
        let layout = InputLayout::from_spec(&spec, None, None).unwrap();
        let hashes = images.each_ref().map(|image| {
            let tensor = pixels.tensor(image, &layout).unwrap();
            let digest = Sha256::digest(tensor.as_bytes());
            let digits = digest[..8].iter().map(|byte| format!("{byte:02x}"));
            digits.collect::<String>()
        });
        assert_eq!(hashes.join(" "), theirs, "{key}");
        checked += 1;
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn the_pixels_of_every_recipe_are_checked() {
    let expected = expected();
    for (recipe, ImageSize { width, height }, preprocess) in fitted() {
        let (resize, interpolation) = (preprocess.resize, preprocess.interpolation);
        let key = format!("{resize} {interpolation} {width}x{height}");
        assert!(expected.contains_key(&*key), "{recipe}: {key}");
    }
}

#[test]
fn values_are_those_of_the_libraries() {
    let expected = expected();
    let mut checked = BTreeSet::new();
    for (recipe, _, preprocess) in fitted() {
        let three = |values: [f32; 3]| values.map(|value| value.to_string()).join(",");
        let (mean, scale) = (three(preprocess.mean), three(preprocess.scale));
        let key = format!("{} {mean} {scale}", preprocess.color);
        if !checked.insert(key.clone()) {
            continue;
        }
        let theirs = expected.get(&*key);
        let theirs = theirs.unwrap_or_else(|| panic!("{recipe}: no {key}"));
        let theirs = theirs.split(' ').map(|value| value.parse::<f32>().unwrap());
        let theirs: Vec<f32> = theirs.collect();
        let as_it_is = Preprocess {
            resize: Resize::Stretch,
            ..preprocess
        };
        let image = Image::from_rgb(3, 1, PIXELS.to_vec()).unwrap();
        let input = spec(&[1, 3, 1, 3]);
        let layout = InputLayout::from_spec(&input, Some(ImageLayout::Nchw), None).unwrap();
        let tensor = as_it_is.tensor(&image, &layout).unwrap();
        let ours = tensor.as_slice::<f32>().unwrap();
        let most = theirs
            .iter()
            .fold(0.0_f32, |most, value| most.max(value.abs()));
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!(
                (ours - theirs).abs() <= 1e-6 * most,
                "{recipe}: {key}: {ours} {theirs}"
            );
        }
    }
    assert!(checked.len() >= 7, "{checked:?}");
}
