//! The image processors of `transformers` that classifiers use, with their defaults.

use crate::sources::json::Keys;
use crate::sources::{Beside, SourceError, unsupported};

/// An image processor, and the values for keys that its file leaves out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// The beginning of the class's name.
    pub name: &'static str,
    /// The default of `size`.
    pub size: Side,
    /// The default of `crop_size`.
    pub crop_size: u32,
    /// The default of `do_center_crop`.
    pub crops: bool,
    /// The default of `resample`.
    pub filter: u64,
    /// The defaults of `image_mean` and `image_std`.
    pub normalization: Normalization,
}

/// A size. An integer in a file is one of the same variant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Square(u32),
    Short(u32),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Normalization {
    /// `IMAGENET_DEFAULT_MEAN`
    Default,
    /// `IMAGENET_STANDARD_MEAN`
    Standard,
    /// `OPENAI_CLIP_MEAN`
    Clip,
}

impl Normalization {
    pub const fn mean(self) -> [f64; 3] {
        match self {
            Self::Default => [0.485, 0.456, 0.406],
            Self::Standard => [0.5; 3],
            Self::Clip => [0.481_454_66, 0.457_827_5, 0.408_210_73],
        }
    }

    pub const fn std(self) -> [f64; 3] {
        match self {
            Self::Default => [0.229, 0.224, 0.225],
            Self::Standard => [0.5; 3],
            Self::Clip => [0.268_629_54, 0.261_302_58, 0.275_777_11],
        }
    }
}

const fn kind(
    name: &'static str,
    size: Side,
    (crops, crop_size): (bool, u32),
    filter: u64,
    normalization: Normalization,
) -> Kind {
    Kind {
        name,
        size,
        crop_size,
        crops,
        filter,
        normalization,
    }
}

const KINDS: [Kind; 21] = {
    use Normalization::{Clip, Default, Standard};
    use Side::{Short, Square};
    [
        kind("Beit", Square(256), (true, 224), 3, Standard),
        kind("Bit", Short(224), (true, 224), 3, Clip),
        kind("Blip", Square(384), (false, 384), 3, Clip),
        kind("CLIP", Short(224), (true, 224), 3, Clip),
        kind("ChineseCLIP", Short(224), (true, 224), 3, Clip),
        kind("ConvNext", Short(384), (false, 384), 2, Standard),
        kind("DINOv3ViT", Square(224), (false, 224), 2, Default),
        kind("DeiT", Square(256), (true, 224), 3, Standard),
        kind("EfficientFormer", Square(224), (true, 224), 3, Default),
        kind("EfficientNet", Square(346), (false, 289), 0, Standard),
        kind("Levit", Short(224), (true, 224), 3, Default),
        kind("MobileNetV1", Short(256), (true, 224), 2, Standard),
        kind("MobileNetV2", Short(256), (true, 224), 2, Standard),
        kind("MobileViT", Short(224), (true, 256), 2, Standard),
        kind("Perceiver", Square(224), (true, 256), 3, Default),
        kind("PoolFormer", Short(224), (true, 224), 3, Default),
        kind("Pvt", Square(224), (false, 224), 2, Default),
        kind("Segformer", Square(512), (false, 512), 2, Default),
        kind("Siglip", Square(224), (false, 224), 3, Standard),
        kind("ViT", Square(224), (false, 224), 2, Standard),
        kind("ViTHybrid", Short(224), (true, 224), 3, Clip),
    ]
};

/// The processor of a `model_type`: `IMAGE_PROCESSOR_MAPPING_NAMES` in `transformers` 4.57.6 and 5.24.0, without those of
/// other processors, and two more types whose processors are known.
const MODEL_TYPES: [(&str, &str); 64] = [
    ("aimv2", "CLIP"),
    ("aimv2_vision_model", "CLIP"),
    ("align", "EfficientNet"),
    ("altclip", "CLIP"),
    ("beit", "Beit"),
    ("bit", "Bit"),
    ("blip", "Blip"),
    ("blip-2", "Blip"),
    ("chinese_clip", "ChineseCLIP"),
    ("clip", "CLIP"),
    ("clipseg", "ViT"),
    ("colpali", "Siglip"),
    ("convnext", "ConvNext"),
    ("convnextv2", "ConvNext"),
    ("cvt", "ConvNext"),
    ("data2vec-vision", "Beit"),
    ("deit", "DeiT"),
    ("dinat", "ViT"),
    ("dinov2", "Bit"),
    ("dinov2_with_registers", "Bit"),
    ("dinov3_convnext", "DINOv3ViT"),
    ("dinov3_vit", "DINOv3ViT"),
    ("efficientformer", "EfficientFormer"),
    ("efficientnet", "EfficientNet"),
    ("florence2", "CLIP"),
    ("focalnet", "Bit"),
    ("gemma3n", "Siglip"),
    ("git", "CLIP"),
    ("groupvit", "CLIP"),
    ("hiera", "Bit"),
    ("ijepa", "ViT"),
    ("instructblip", "Blip"),
    ("kosmos-2", "CLIP"),
    ("levit", "Levit"),
    ("metaclip_2", "CLIP"),
    ("mgp-str", "ViT"),
    ("mlcd", "CLIP"),
    ("mobilenet_v1", "MobileNetV1"),
    ("mobilenet_v2", "MobileNetV2"),
    ("mobilevit", "MobileViT"),
    ("mobilevitv2", "MobileViT"),
    ("nat", "ViT"),
    ("paligemma", "Siglip"),
    ("perceiver", "Perceiver"),
    ("pixio", "Bit"),
    ("poolformer", "PoolFormer"),
    ("pvt", "Pvt"),
    ("pvt_v2", "Pvt"),
    ("regnet", "ConvNext"),
    ("resnet", "ConvNext"),
    ("segformer", "Segformer"),
    ("siglip", "Siglip"),
    ("swiftformer", "ViT"),
    ("swin", "ViT"),
    ("swinv2", "ViT"),
    ("trocr", "ViT"),
    ("upernet", "Segformer"),
    ("van", "ConvNext"),
    ("vipllava", "CLIP"),
    ("vit", "ViT"),
    ("vit_hybrid", "ViTHybrid"),
    ("vit_mae", "ViT"),
    ("vit_msn", "ViT"),
    ("xclip", "CLIP"),
];

impl Kind {
    /// Returns the processor that wrote the file. An old file does not name it; then `config.json` tells, by its name or
    /// by the `model_type`, as in `AutoImageProcessor`. Without one, `ViT`'s rules hold, but not its defaults: the second
    /// value is false.
    pub fn of(keys: Keys<'_>, beside: Beside<'_>) -> Result<(Self, bool), SourceError> {
        let processors = || {
            let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            format!("the processor of {}", names.join(", "))
        };
        for key in ["image_processor_type", "feature_extractor_type"] {
            if let Some(name) = keys.text(key)? {
                let kind = Self::of_class(name).map(|kind| (kind, true));
                return kind.ok_or_else(|| keys.error(key, &processors()));
            }
        }
        if let Some(name) = beside.image_processor_type {
            let kind = Self::of_class(name).map(|kind| (kind, true));
            return kind.ok_or_else(|| {
                unsupported("config.json", "image_processor_type", name, processors())
            });
        }
        let Some(model_type) = beside.model_type else {
            return Ok((Self::called("ViT").expect("the table has it"), false));
        };
        let known = MODEL_TYPES.iter().find(|(known, _)| *known == model_type);
        let kind = known.and_then(|(_, name)| Self::called(name));
        kind.map(|kind| (kind, true)).ok_or_else(|| {
            let expected = format!(
                "the type of a model with a known image processor, or image_processor_type in {} with {}",
                keys.file,
                processors()
            );
            unsupported("config.json", "model_type", model_type, expected)
        })
    }

    /// Returns the processor of a class: `ViTImageProcessorFast`.
    fn of_class(name: &str) -> Option<Self> {
        let short = name.strip_suffix("Fast").unwrap_or(name);
        let short = short.strip_suffix("Pil").unwrap_or(short);
        let short = short
            .strip_suffix("ImageProcessor")
            .or_else(|| short.strip_suffix("FeatureExtractor"))
            .unwrap_or(short);
        Self::called(short)
    }

    /// Returns the defaults of the processor that uses torchvision, which are others than those of the one of version 4
    /// that uses Pillow. In version 5 both have these.
    pub fn with_torchvision(self, is_of_version_5: bool) -> Self {
        let (size, crops) = match self.name {
            "Beit" => (Side::Square(224), false),
            _ => (self.size, self.crops),
        };
        let filter = match self.name {
            "ConvNext" | "EfficientNet" | "MobileViT" | "Pvt" if is_of_version_5 => 3,
            _ => self.filter,
        };
        Self {
            size,
            crops,
            filter,
            ..self
        }
    }

    /// Returns whether the processor cuts out no centre, even if the file asks for it.
    pub fn ignores_crop(self, is_pillow_of_version_4: bool) -> bool {
        match self.name {
            "Segformer" => true,
            "Blip" | "Pvt" | "Siglip" | "ViT" => is_pillow_of_version_4,
            _ => false,
        }
    }

    /// Returns whether the processor has a default of `crop_size`. Others reject a file that switches the cut on without
    /// a size.
    pub fn has_crop_size(self) -> bool {
        !matches!(
            self.name,
            "Blip" | "ConvNext" | "DINOv3ViT" | "Pvt" | "Segformer" | "Siglip" | "ViT"
        )
    }

    /// Returns whether the library that resizes is torchvision, if there is no processor with another one.
    pub fn only_library(self) -> Option<bool> {
        match self.name {
            "DINOv3ViT" => Some(true),
            "EfficientFormer" | "ViTHybrid" => Some(false),
            _ => None,
        }
    }

    fn called(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_type_has_a_processor() {
        for (model_type, name) in MODEL_TYPES {
            assert!(Kind::called(name).is_some(), "{model_type}: {name}");
        }
    }
}
