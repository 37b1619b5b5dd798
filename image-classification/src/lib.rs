//! image-classification
