//! What the program can do, one file each.

pub mod bench;
pub mod classify;
pub mod compare;
pub mod devices;
pub mod evaluate;
pub mod inspect;
pub mod manual;
