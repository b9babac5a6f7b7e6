//! Values of options, and how they become the types that code asks for.

use std::fmt;
use std::net::IpAddr;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Neither given nor with a default.
    Unset,
    Flag(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Ip(IpAddr),
    Limit(Limit),
    List(Vec<String>),
    Dict(Vec<(String, String)>),
}

/// The largest number allowed; `None` = any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub Option<u64>);

/// As it would be written for an option of the value's kind.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => Ok(()),
            Self::Flag(on) => write!(f, "{on}"),
            Self::Int(number) => write!(f, "{number}"),
            // With a fraction always, as Python has it.
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Text(text) => f.write_str(text),
            Self::Ip(address) => write!(f, "{address}"),
            Self::Limit(Limit(Some(most))) => write!(f, "{most}"),
            Self::Limit(Limit(None)) => f.write_str("infinite"),
            Self::List(items) => f.write_str(&items.join(",")),
            Self::Dict(pairs) => {
                for (index, (key, value)) in pairs.iter().enumerate() {
                    write!(f, "{}{key}:{value}", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

/// A type that code may ask an option for.
pub trait FromValue: Sized {
    /// `None` for [`Value::Unset`], and for values of other kinds.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty: $pattern:pat => $result:expr;)*) => {
        $(impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    $pattern => $result,
                    _ => None,
                }
            }
        })*
    };
}

from_value! {
    bool: Value::Flag(on) => Some(*on);
    i64: Value::Int(number) => Some(*number);
    u16: Value::Int(number) => u16::try_from(*number).ok();
    f64: Value::Float(number) => Some(*number);
    String: Value::Text(text) => Some(text.clone());
    IpAddr: Value::Ip(address) => Some(*address);
    Limit: Value::Limit(limit) => Some(*limit);
    Vec<String>: Value::List(items) => Some(items.clone());
    Vec<IpAddr>: Value::List(items) => items.iter().map(|item| item.parse().ok()).collect();
    Vec<(String, String)>: Value::Dict(pairs) => Some(pairs.clone());
}
