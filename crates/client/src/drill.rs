//! What clients of a VIP notice: attempts at a steady rate, and what is made of them.

mod attempts;
mod prober;

pub(crate) use self::attempts::Summary;
pub(crate) use self::prober::{Prober, Probes, Probing};
