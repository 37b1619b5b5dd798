use backend_api::{Dim, ElementType, TensorSpec};

use super::expected::CASES;
use super::*;
use crate::sources::beside::ModelConfig;
use crate::{Image, InputLayout, Preprocess};

fn read(text: &str) -> Result<SourceSettings, SourceError> {
    preprocessor("preprocessor_config.json", text.as_bytes(), Beside::ALONE).map(Option::unwrap)
}

#[test]
fn vit_stretches() {
    let settings = read(
        r#"{"do_normalize": true, "do_resize": true, "feature_extractor_type": "ViTFeatureExtractor",
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2, "size": 224}"#,
    )
    .unwrap();
    assert_eq!(settings.resize.unwrap().value, Resize::Stretch);
    assert_eq!(
        settings.interpolation.unwrap().value,
        Interpolation::Bilinear
    );
    assert_eq!(settings.mean.unwrap().value, [127.5; 3]);
    assert_eq!(settings.scale.unwrap().value, [127.5; 3]);
    assert_eq!(settings.size.unwrap().value.to_string(), "224 x 224");
    assert_eq!(settings.color.unwrap().value, ColorOrder::Rgb);
}

#[test]
fn size_is_read_by_the_rules_of_each_processor() {
    let resize = |name: &str, more: &str| {
        read(&format!(
            r#"{{"image_processor_type": "{name}", "do_normalize": false, {more}}}"#
        ))
        .map(|settings| settings.resize.unwrap().value.to_string())
    };
    for (name, more, expected) in [
        (
            "CLIPImageProcessor",
            r#""size": 224, "crop_size": 224"#,
            "short:224:floor",
        ),
        (
            "MobileNetV2ImageProcessorFast",
            r#""size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}"#,
            "short:256:floor",
        ),
        (
            "ConvNextFeatureExtractor",
            r#""size": 224, "crop_pct": 0.875"#,
            "short:256:floor",
        ),
        (
            "ConvNextImageProcessor",
            r#""size": {"shortest_edge": 384}"#,
            "stretch",
        ),
        (
            "DeiTImageProcessor",
            r#""size": 256, "crop_size": 224"#,
            "stretch:256:floor",
        ),
        (
            "LevitImageProcessor",
            r#""size": 224, "crop_size": 224"#,
            "short:256:floor",
        ),
        (
            "PoolFormerImageProcessor",
            r#""size": 224, "crop_pct": 0.9, "crop_size": 224"#,
            "short:248:floor",
        ),
    ] {
        assert_eq!(resize(name, more).unwrap(), expected, "{name}");
    }
    let error = resize(
        "CLIPImageProcessor",
        r#""size": 224, "do_center_crop": false"#,
    )
    .unwrap_err();
    assert!(error.to_string().contains("do_center_crop"), "{error}");
}

#[test]
fn rescale_and_normalize_become_one_mean_and_scale() {
    let settings = read(
        r#"{"image_processor_type": "EfficientNetImageProcessor", "size": 300, "rescale_offset": true,
            "rescale_factor": 0.5, "image_mean": [1, 2, 3], "image_std": [2, 4, 8], "include_top": true}"#,
    )
    .unwrap();
    // ((0.5 x - 1) - m) / s / s = (x - 2 (1 + m)) / (2 s²)
    assert_eq!(settings.mean.unwrap().value, [4.0, 6.0, 8.0]);
    assert_eq!(settings.scale.unwrap().value, [8.0, 32.0, 128.0]);
    assert_eq!(
        settings.interpolation.unwrap().value,
        Interpolation::Nearest
    );
    let plain = read(r#"{"do_rescale": false, "do_normalize": false, "size": 8}"#).unwrap();
    assert_eq!(plain.mean.unwrap().value, [0.0; 3]);
    assert_eq!(plain.scale.unwrap().value, [1.0; 3]);
}

#[test]
fn mobilevit_takes_blue_first() {
    let settings = read(
        r#"{"image_processor_type": "MobileViTImageProcessor", "size": 288, "crop_size": 256,
            "do_flip_channel_order": true, "resample": 3}"#,
    )
    .unwrap();
    assert_eq!(settings.color.unwrap().value, ColorOrder::Bgr);
    assert_eq!(settings.scale.unwrap().value, [255.0; 3]);
}

#[test]
fn errors_name_the_unsupported_key() {
    for (text, key) in [
        (
            r#"{"do_resize": true, "size": 224, "do_pad": true}"#,
            "do_pad",
        ),
        (r#"{"do_resize": false, "size": 224}"#, "do_resize"),
        (
            r#"{"do_resize": true, "size": 224, "resample": 5, "do_normalize": false}"#,
            "resample",
        ),
        (
            r#"{"do_resize": true, "size": {"longest_edge": 224}}"#,
            "size",
        ),
        (r#"{"do_resize": true, "size": 224}"#, "image_mean"),
        (
            r#"{"do_resize": true, "size": 224, "image_mean": [0, 0, 0], "image_std": [1, 0, 1]}"#,
            "image_std",
        ),
        (
            r#"{"image_processor_type": "PerceiverImageProcessor", "size": 24, "crop_size": {"height": 30, "width": 20}}"#,
            "crop_size",
        ),
        (
            r#"{"image_processor_type": "DetrImageProcessor", "size": 224}"#,
            "DetrImageProcessor",
        ),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
    assert!(
        read(r#"{"do_resize": true, "size": 224, "do_pad": false, "do_normalize": false}"#).is_ok()
    );
}

#[test]
fn labels_and_multi_label_are_read() {
    let object = json::object(
        "config.json",
        br#"{"id2label": {"1": "b", "0": "a"}, "problem_type": "multi_label_classification"}"#,
    )
    .unwrap();
    let settings = config("config.json", &object, Beside::ALONE)
        .unwrap()
        .unwrap();
    assert_eq!(settings.labels.unwrap().value.get(0), Some("a"));
    assert_eq!(
        settings.multi_label.unwrap().origin.to_string(),
        "config.json: problem_type"
    );
    let other = json::object("config.json", br#"{"port": 80}"#).unwrap();
    assert_eq!(config("config.json", &other, Beside::ALONE).unwrap(), None);
}

fn preprocess(settings: &SourceSettings) -> Preprocess {
    Preprocess {
        color: settings.color.as_ref().unwrap().value,
        mean: settings.mean.as_ref().unwrap().value,
        scale: settings.scale.as_ref().unwrap().value,
        resize: settings.resize.as_ref().unwrap().value,
        interpolation: settings.interpolation.as_ref().unwrap().value,
    }
}

/// Returns the image that the generators of the tables draw.
fn drawn(width: u32, height: u32) -> Image {
    let pixels = (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| [x * 7 + y * 3, x * x + y, x * y + 5]));
    let pixels = pixels.map(|value| (value % 256) as u8).collect();
    Image::from_rgb(width, height, pixels).unwrap()
}

/// Returns the tensor of `image` for an input of the size that the source states.
fn tensor(settings: &SourceSettings, image: &Image) -> Vec<f32> {
    let size = settings.size.as_ref().unwrap().value;
    let dims = [1, 3, size.height as usize, size.width as usize];
    let dims = dims.map(Dim::Fixed).to_vec();
    let spec = TensorSpec::new("x", ElementType::F32, dims);
    let layout = InputLayout::from_spec(&spec, None, None).unwrap();
    let tensor = preprocess(settings).tensor(image, &layout).unwrap();
    tensor.to_f32().into_owned()
}

#[test]
fn tensors_are_those_of_transformers() {
    for (model_type, text, (width, height), expected) in CASES {
        let case = format!("{model_type:?} {text} {width} x {height}");
        let beside = Beside {
            model_type,
            ..Beside::ALONE
        };
        let settings = preprocessor("preprocessor_config.json", text.as_bytes(), beside)
            .unwrap_or_else(|error| panic!("{case}: {error}"))
            .unwrap();
        let values = tensor(&settings, &drawn(width, height));
        let count = values.len() / 3;
        for (channel, expected) in values.chunks_exact(count).zip(expected) {
            let weighted = channel.iter().enumerate();
            let weighted =
                weighted.map(|(index, value)| f64::from(*value) * ((31 * index + 7) % 101) as f64);
            let mean = weighted.sum::<f64>() / count as f64;
            assert!(
                (mean - expected).abs() < 1e-4,
                "{case}: {mean}, not {expected}"
            );
        }
    }
}

fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Without a normalization torch multiplies where we divide, and with two it rounds twice: such values differ in
/// their last bits.
const EQUAL_TO_THE_BIT: usize = 130;

#[test]
fn tensors_are_those_of_transformers_with_torchvision() {
    let mut equal = 0;
    let mut failed = Vec::new();
    for (model_type, text, (width, height), [bits, bytes], ends) in expected_torchvision::CASES {
        let case = format!("{model_type:?} {text} {width} x {height}");
        let beside = Beside {
            model_type,
            transformers_version: Some("5.24.0"),
            ..Beside::ALONE
        };
        let settings = preprocessor("preprocessor_config.json", text.as_bytes(), beside)
            .unwrap_or_else(|error| panic!("{case}: {error}"))
            .unwrap();
        let recipe = preprocess(&settings);
        let values = tensor(&settings, &drawn(width, height));
        equal += usize::from(hash(values.iter().flat_map(|value| value.to_le_bytes())) == bits);
        // Each value is a linear function of its byte. If bytes and both end points agree, all values agree as closely as
        // the end points.
        let plane = values.len() / 3;
        let to_byte = |(index, value): (usize, &f32)| {
            let (mean, scale) = (recipe.mean[index / plane], recipe.scale[index / plane]);
            (f64::from(*value) * f64::from(scale) + f64::from(mean)).round() as u8
        };
        if hash(values.iter().enumerate().map(to_byte)) != bytes {
            failed.push(format!("{case}: other bytes"));
        }
        for (channel, expected) in ends.into_iter().enumerate() {
            for (byte, expected) in [0.0, 255.0].into_iter().zip(expected) {
                let value: f32 = (byte - recipe.mean[channel]) / recipe.scale[channel];
                if (value - expected).abs() > 1e-6 {
                    failed.push(format!("{case}: {byte} is {value}, not {expected}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(equal, EQUAL_TO_THE_BIT);
}

#[test]
fn floats_are_resized_as_dinov3_does() {
    for (text, (width, height), expected) in expected_torchvision::FLOATS {
        let settings = read(text).unwrap();
        let values = tensor(&settings, &drawn(width, height));
        for (index, expected) in expected.into_iter().enumerate() {
            let value = values[index * values.len() / expected_torchvision::FLOATS[0].2.len()];
            assert!(
                (value - expected).abs() < 1e-6,
                "{text} {width} x {height}, {index}: {value}, not {expected}"
            );
        }
    }
    let lanczos = r#"{"image_processor_type": "DINOv3ViTImageProcessor", "resample": 1}"#;
    assert!(read(lanczos).unwrap_err().to_string().contains("resample"));
}

#[test]
fn null_for_crop_pct_is_off_in_every_version() {
    for name in ["PoolFormerImageProcessor", "PoolFormerImageProcessorFast"] {
        let text = format!(
            r#"{{"crop_pct": null, "size": 90, "crop_size": 90, "image_processor_type": "{name}"}}"#
        );
        let settings = read(&text).unwrap();
        assert_eq!(settings.resize.unwrap().value.to_string(), "short:90:floor");
    }
}

/// Leaves out the steps that transformers 4.57.6 and 5.24.0 leave out.
#[test]
fn processors_ignore_steps_that_they_do_not_have() {
    let of = |name: &str, version: &'static str, more: &str| {
        let text =
            format!(r#"{{"image_processor_type": "{name}", "do_normalize": false, {more}}}"#);
        let beside = Beside {
            transformers_version: Some(version),
            ..Beside::ALONE
        };
        let settings = preprocessor("preprocessor_config.json", text.as_bytes(), beside)?.unwrap();
        let (resize, size) = (settings.resize.unwrap().value, settings.size.unwrap().value);
        Ok::<_, SourceError>(format!("{resize} to {size}"))
    };
    let crop = r#""size": {"height": 20, "width": 20}, "do_center_crop": true, "crop_size": 16"#;
    let (four, five) = ("4.57.6", "5.24.0");
    for (name, version, ignores) in [
        ("SegformerImageProcessor", four, true),
        ("SegformerImageProcessorFast", four, true),
        ("SegformerImageProcessor", five, true),
        ("SegformerImageProcessorPil", five, true),
        ("ViTImageProcessor", four, true),
        ("PvtImageProcessor", four, true),
        ("BlipImageProcessor", four, true),
        ("SiglipImageProcessor", four, true),
        ("ViTImageProcessorFast", four, false),
        ("ViTImageProcessor", five, false),
        ("ViTImageProcessorPil", five, false),
        ("BeitImageProcessor", four, false),
    ] {
        let expected = if ignores {
            "stretch to 20 x 20"
        } else {
            "stretch:20:floor to 16 x 16"
        };
        assert_eq!(
            of(name, version, crop).unwrap(),
            expected,
            "{name} {version}"
        );
    }
    let square = r#""size": 32, "crop_size": 16, "default_to_square": true"#;
    let short = "short:36:floor to 16 x 16";
    assert_eq!(of("LevitImageProcessor", four, square).unwrap(), short);
    let stretched = "stretch:32:floor to 16 x 16";
    assert_eq!(
        of("LevitImageProcessorPil", five, square).unwrap(),
        stretched
    );
    let square = r#""size": 23, "crop_size": 23, "use_square_size": true"#;
    for (name, version, expected) in [
        ("CLIPImageProcessor", four, "stretch to 23 x 23"),
        ("CLIPImageProcessorFast", four, "short:23:floor to 23 x 23"),
    ] {
        assert_eq!(of(name, version, square).unwrap(), expected, "{name}");
    }
    // `torchvision.transforms.functional.center_crop` rounds half a pixel to even.
    let convnext = r#""size": 36, "crop_pct": 1"#;
    for (name, version, expected) in [
        ("ConvNextImageProcessor", four, "short:36:floor to 36 x 36"),
        ("ConvNextImageProcessorFast", four, "short:36 to 36 x 36"),
        ("ConvNextImageProcessor", five, "short:36:floor to 36 x 36"),
    ] {
        assert_eq!(
            of(name, version, convnext).unwrap(),
            expected,
            "{name} {version}"
        );
    }
}

#[test]
fn poolformer_enlarges_without_a_crop() {
    let of = |size: &str| {
        read(&format!(
            r#"{{"image_processor_type": "PoolFormerImageProcessor", "do_center_crop": false, "size": {size}}}"#
        ))
    };
    // As transformers 4.57.6 and 5.24.0 do.
    let settings = of(r#"{"height": 23, "width": 20}"#).unwrap();
    assert_eq!(settings.resize.unwrap().value, Resize::Stretch);
    assert_eq!(settings.size.unwrap().value.to_string(), "22 x 25");
    let error = of(r#"{"height": 31, "width": 31}"#)
        .unwrap_err()
        .to_string();
    assert!(error.contains("do_center_crop"), "{error}");
}

#[test]
fn the_version_of_transformers_decides_who_resizes() {
    let of = |name: &str, version: Option<&'static str>| {
        let text = format!(
            r#"{{{name} "do_normalize": false, "do_resize": true, "size": 8, "resample": 3}}"#
        );
        let beside = Beside {
            transformers_version: version,
            ..Beside::ALONE
        };
        let settings = preprocessor("preprocessor_config.json", text.as_bytes(), beside);
        let settings = settings.unwrap().unwrap();
        let chosen = settings.interpolation.unwrap();
        let doubt = chosen.note.is_some();
        (chosen.value, chosen.origin.to_string(), doubt)
    };
    let vit = r#""image_processor_type": "ViTImageProcessor","#;
    let fast = r#""image_processor_type": "ViTImageProcessorFast","#;
    let pil = r#""image_processor_type": "ViTImageProcessorPil","#;
    let old = r#""feature_extractor_type": "ViTFeatureExtractor","#;
    let hybrid = r#""image_processor_type": "ViTHybridImageProcessor", "crop_size": 8,"#;
    let stated = r#""image_processor_type": "ViTImageProcessor", "transformers_version": "5.2.0","#;
    let (bicubic, torchvision) = (Interpolation::Bicubic, Interpolation::TorchvisionBicubic);
    for (name, version, filter, reason) in [
        (
            vit,
            Some("4.57.1"),
            bicubic,
            "Pillow's by config.json: transformers_version 4.57.1",
        ),
        (
            vit,
            Some("5.0.0.dev0"),
            torchvision,
            "torchvision's by config.json: transformers_version 5.0.0.dev0",
        ),
        (vit, None, bicubic, "Pillow's"),
        (vit, Some("main"), bicubic, "Pillow's"),
        (
            stated,
            Some("4.57.1"),
            torchvision,
            "torchvision's by transformers_version 5.2.0",
        ),
        (
            fast,
            Some("4.57.1"),
            torchvision,
            "torchvision's by image_processor_type ViTImageProcessorFast",
        ),
        (
            fast,
            None,
            torchvision,
            "torchvision's by image_processor_type ViTImageProcessorFast",
        ),
        (
            pil,
            Some("5.0.0"),
            bicubic,
            "Pillow's by image_processor_type ViTImageProcessorPil",
        ),
        (old, None, bicubic, "Pillow's by feature_extractor_type"),
        (
            old,
            Some("5.0.0"),
            torchvision,
            "torchvision's by config.json: transformers_version 5.0.0",
        ),
        (
            hybrid,
            Some("5.0.0"),
            bicubic,
            "Pillow's, the only one of ViTHybrid",
        ),
        ("", None, bicubic, "Pillow's"),
    ] {
        let origin = format!("preprocessor_config.json: resample, {reason}");
        let doubt = reason == "Pillow's";
        assert_eq!(
            of(name, version),
            (filter, origin, doubt),
            "{name} {version:?}"
        );
    }
}

/// The defaults are those of the classes `PvtImageProcessorPil` and `BeitImageProcessorPil` of transformers 5.24.0.
#[test]
fn processors_of_version_5_with_pillow_have_its_defaults() {
    let settings_of = |name: &str| {
        read(&format!(
            r#"{{"image_processor_type": "{name}", "do_resize": true}}"#
        ))
        .unwrap()
    };
    let pvt = settings_of("PvtImageProcessorPil")
        .interpolation
        .unwrap()
        .value;
    assert_eq!(pvt, Interpolation::Bicubic);
    let pvt = settings_of("PvtImageProcessor")
        .interpolation
        .unwrap()
        .value;
    assert_eq!(pvt, Interpolation::Bilinear);
    let beit = settings_of("BeitImageProcessorPil").resize.unwrap().value;
    assert_eq!(beit, Resize::Stretch);
}

#[test]
fn convnext_cuts_the_centre_out_once() {
    let with = |name: &str| {
        read(&format!(
            r#"{{"image_processor_type": "{name}", "size": 31, "do_center_crop": true, "crop_size": 8}}"#
        ))
    };
    for name in ["ConvNextImageProcessorFast", "ConvNextImageProcessorPil"] {
        let error = with(name).unwrap_err().to_string();
        assert!(error.contains("do_center_crop"), "{error}");
    }
    // ConvNextImageProcessor has no center crop and ignores the key.
    assert!(with("ConvNextImageProcessor").is_ok());
}

#[test]
fn box_filter_is_rejected_for_torchvision() {
    let text = r#"{"image_processor_type": "ViTImageProcessorFast", "size": 8, "resample": 4}"#;
    let error = read(text).unwrap_err().to_string();
    assert!(error.contains("which torchvision has"), "{error}");
}

#[test]
fn default_to_square_decides_what_an_integer_is() {
    let resize = |square: bool| {
        let text = format!(
            r#"{{"image_processor_type": "CLIPImageProcessorFast", "size": 20, "crop_size": 16, "default_to_square": {square}}}"#
        );
        read(&text).unwrap().resize.unwrap().value.to_string()
    };
    assert_eq!(resize(true), "stretch:20:floor");
    assert_eq!(resize(false), "short:20:floor");
}

#[test]
fn processor_config_has_the_image_processor_inside() {
    let text = r#"{"image_processor": {"image_processor_type": "SiglipImageProcessor", "size": {"height": 8, "width": 8}},
        "processor_class": "SiglipProcessor"}"#;
    let settings = processor_config("processor_config.json", text.as_bytes(), Beside::ALONE);
    assert_eq!(settings.unwrap().unwrap().size.unwrap().value.width, 8);
    let other = processor_config("processor_config.json", b"{}", Beside::ALONE);
    assert_eq!(other.unwrap(), None);
    let timm = r#"{"image_processor_type": "TimmWrapperImageProcessor", "architecture": "x",
        "pretrained_cfg": {"input_size": [3, 8, 8]}}"#;
    let settings = read(timm).unwrap();
    assert_eq!(settings.resize.unwrap().value.to_string(), "center:0.875");
}

#[test]
fn harmless_keys_are_reported_as_unused() {
    let settings = read(
        r#"{"do_resize": true, "size": 8, "do_normalize": false, "max_image_size": 3, "patch_size": 4}"#,
    );
    let unused = settings.unwrap().unused;
    assert_eq!(unused, ["preprocessor_config.json: max_image_size"]);
}

// As transformers 5.24.0 and 4.57.6 read such files: `tests/reference/random_configs.py`.
#[test]
fn null_is_rejected_where_the_library_needs_a_value() {
    for (key, has_default) in [
        ("size", true),
        ("resample", false),
        ("crop_size", true),
        ("rescale_factor", false),
        ("image_mean", true),
        ("image_std", true),
    ] {
        for (name, version) in [
            ("CLIPImageProcessor", "5.24.0"),
            ("CLIPImageProcessorPil", "5.24.0"),
            ("CLIPImageProcessorFast", "4.57.6"),
            ("CLIPImageProcessor", "4.57.6"),
        ] {
            let settings = read(&format!(
                r#"{{"image_processor_type": "{name}", "transformers_version": "{version}", "{key}": null,
                    "do_resize": true}}"#
            ));
            if has_default && version.starts_with('4') && !name.ends_with("Fast") {
                assert!(settings.is_ok(), "{key}");
            } else {
                let error = settings.unwrap_err().to_string();
                let part = format!("{key} = `null`");
                assert!(error.contains(&part), "{name} {version}: {error}");
            }
        }
    }
}

#[test]
fn a_cut_without_a_size_is_rejected() {
    let of = |name: &str, crop: &str| {
        read(&format!(
            r#"{{"image_processor_type": "{name}ImageProcessor", "transformers_version": "5.24.0",
                "do_center_crop": true, "size": {{"height": 20, "width": 20}}{crop}}}"#
        ))
    };
    for name in ["Blip", "Pvt", "Siglip", "ViT"] {
        let error = of(name, "").unwrap_err().to_string();
        assert!(error.contains("has no crop_size"), "{name}: {error}");
        assert!(of(name, r#", "crop_size": 16"#).is_ok(), "{name}");
    }
    assert!(of("Beit", "").is_ok());
}

#[test]
fn null_for_default_to_square_is_off_where_there_is_such_an_attribute() {
    let resize = |name: &str, version: &str| {
        let settings = read(&format!(
            r#"{{"image_processor_type": "{name}", "transformers_version": "{version}", "size": 43,
                "do_center_crop": true, "crop_size": 43, "default_to_square": null}}"#
        ));
        settings.unwrap().resize.unwrap().value.to_string()
    };
    for (name, version) in [
        ("BeitImageProcessor", "5.24.0"),
        ("BeitImageProcessorPil", "5.24.0"),
        ("BeitImageProcessorFast", "4.57.6"),
    ] {
        assert_eq!(resize(name, version), "short:43:floor", "{name} {version}");
    }
    assert_eq!(resize("BeitImageProcessor", "4.57.6"), "stretch");
}

/// The answers of `AutoImageProcessor` of transformers 4.57.6.
#[test]
fn config_json_names_the_processor() {
    let of = |config: &str| {
        let config = ModelConfig::read(config.as_bytes());
        let text = r#"{"do_resize": true, "do_normalize": true, "size": 20, "image_std": 0.5}"#;
        preprocessor(PREPROCESSOR_CONFIG, text.as_bytes(), config.beside(true))
            .map(|settings| settings.unwrap())
    };
    for (config, filter, resize) in [
        (
            r#"{"model_type": "blip-2"}"#,
            Interpolation::Bicubic,
            "stretch",
        ),
        (
            r#"{"model_type": "groupvit"}"#,
            Interpolation::Bicubic,
            "short:20:pad-ceil",
        ),
        (
            r#"{"model_type": "trocr"}"#,
            Interpolation::Bilinear,
            "stretch",
        ),
        (
            r#"{"model_type": "own", "image_processor_type": "CLIPImageProcessor"}"#,
            Interpolation::Bicubic,
            "short:20:pad-ceil",
        ),
        (
            r#"{"image_processor_type": "ViTImageProcessorFast"}"#,
            Interpolation::TorchvisionBilinear,
            "stretch",
        ),
    ] {
        let settings = of(config).unwrap();
        assert_eq!(settings.interpolation.unwrap().value, filter, "{config}");
        let stated = settings.resize.unwrap();
        assert_eq!(stated.value.to_string(), resize, "{config}");
        assert_eq!(stated.note, None);
    }
    for (config, value) in [
        (r#"{"model_type": "donut-swin"}"#, "donut-swin"),
        (
            r#"{"image_processor_type": "DonutImageProcessor"}"#,
            "DonutImageProcessor",
        ),
    ] {
        let error = of(config).unwrap_err().to_string();
        assert!(error.contains(value) && error.contains("Beit"), "{error}");
    }
    let unnamed = r#"{"do_resize": true, "size": 20, "image_mean": 0.5, "image_std": 0.5}"#;
    let note = read(unnamed).unwrap().resize.unwrap().note.unwrap();
    assert!(note.contains("ViT"), "{note}");
}
