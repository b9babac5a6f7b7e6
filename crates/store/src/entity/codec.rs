//! How values of the model become columns, and back.

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::Timestamp;
use newtype_uuid::{TypedUuid, TypedUuidKind};
use octavia_model::{AdditionalVip, Reason, Statuses};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::StoreError;

/// Reads columns of one table; what cannot be read is a corrupt row of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decode(pub(crate) &'static str);

impl Decode {
    pub(crate) fn corrupt(self, column: &str, detail: impl std::fmt::Display) -> StoreError {
        StoreError::Corrupt { table: self.0, detail: format!("{column}: {detail}") }
    }

    pub(crate) fn parse<T: FromStr>(self, column: &str, text: &str) -> Result<T, StoreError>
    where
        T::Err: std::fmt::Display,
    {
        text.parse().map_err(|error| self.corrupt(column, error))
    }

    pub(crate) fn parse_option<T: FromStr>(
        self,
        column: &str,
        text: Option<&str>,
    ) -> Result<Option<T>, StoreError>
    where
        T::Err: std::fmt::Display,
    {
        text.map(|text| self.parse(column, text)).transpose()
    }

    pub(crate) fn int<T: TryFrom<i64>>(self, column: &str, value: i64) -> Result<T, StoreError> {
        T::try_from(value).map_err(|_| self.corrupt(column, format_args!("{value} is out of range")))
    }

    pub(crate) fn int_option<T: TryFrom<i64>>(
        self,
        column: &str,
        value: Option<i64>,
    ) -> Result<Option<T>, StoreError> {
        value.map(|value| self.int(column, value)).transpose()
    }

    pub(crate) fn time(self, column: &str, micros: i64) -> Result<Timestamp, StoreError> {
        Timestamp::from_microsecond(micros).map_err(|error| self.corrupt(column, error))
    }

    pub(crate) fn time_option(
        self,
        column: &str,
        micros: Option<i64>,
    ) -> Result<Option<Timestamp>, StoreError> {
        micros.map(|micros| self.time(column, micros)).transpose()
    }

    fn json(self, column: &str, text: &str) -> Result<Value, StoreError> {
        serde_json::from_str(text).map_err(|error| self.corrupt(column, error))
    }

    /// A JSON array of strings, each parsed.
    pub(crate) fn list<T: FromStr>(self, column: &str, text: &str) -> Result<Vec<T>, StoreError>
    where
        T::Err: std::fmt::Display,
    {
        if text == "[]" {
            return Ok(vec![]);
        }
        let Value::Array(values) = self.json(column, text)? else {
            return Err(self.corrupt(column, "not a list"));
        };
        values
            .iter()
            .map(|value| match value.as_str() {
                Some(text) => self.parse(column, text),
                None => Err(self.corrupt(column, "not a list of strings")),
            })
            .collect()
    }

    pub(crate) fn list_option<T: FromStr>(
        self,
        column: &str,
        text: Option<&str>,
    ) -> Result<Option<Vec<T>>, StoreError>
    where
        T::Err: std::fmt::Display,
    {
        text.map(|text| self.list(column, text)).transpose()
    }

    pub(crate) fn map(self, column: &str, text: &str) -> Result<BTreeMap<String, String>, StoreError> {
        if text == "{}" {
            return Ok(BTreeMap::new());
        }
        let Value::Object(map) = self.json(column, text)? else {
            return Err(self.corrupt(column, "not an object"));
        };
        map.into_iter()
            .map(|(key, value)| match value {
                Value::String(value) => Ok((key, value)),
                _ => Err(self.corrupt(column, "not an object of strings")),
            })
            .collect()
    }

    fn field<'v>(self, column: &str, value: &'v Value, name: &str) -> Result<&'v str, StoreError> {
        value.get(name).and_then(Value::as_str).ok_or_else(|| self.corrupt(column, format_args!("no {name}")))
    }

    pub(crate) fn reason(self, text: Option<&str>) -> Result<Option<Reason>, StoreError> {
        let Some(text) = text else { return Ok(None) };
        let value = self.json("reason", text)?;
        let field = |name| self.field("reason", &value, name);
        Ok(Some(Reason::new(self.parse("reason", field("code")?)?, field("text")?, field("advice")?)))
    }

    pub(crate) fn statuses(
        self,
        provisioning: &str,
        operating: &str,
        reason: Option<&str>,
    ) -> Result<Statuses, StoreError> {
        Ok(Statuses {
            provisioning: self.parse("provisioning_status", provisioning)?,
            operating: self.parse("operating_status", operating)?,
            reason: self.reason(reason)?,
        })
    }

    pub(crate) fn additional_vips(self, text: &str) -> Result<Vec<AdditionalVip>, StoreError> {
        const COLUMN: &str = "additional_vips";
        if text == "[]" {
            return Ok(vec![]);
        }
        let Value::Array(values) = self.json(COLUMN, text)? else {
            return Err(self.corrupt(COLUMN, "not a list"));
        };
        values
            .iter()
            .map(|value| {
                Ok(AdditionalVip {
                    address: self.parse(COLUMN, self.field(COLUMN, value, "address")?)?,
                    subnet_id: self.parse(COLUMN, self.field(COLUMN, value, "subnet_id")?)?,
                    network_id: self.parse(COLUMN, self.field(COLUMN, value, "network_id")?)?,
                    port_id: self.parse(COLUMN, self.field(COLUMN, value, "port_id")?)?,
                })
            })
            .collect()
    }
}

/// SQLite has no booleans.
pub(crate) fn packed_flag<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    Ok(u8::deserialize(value)? != 0)
}

pub(crate) fn id<K: TypedUuidKind>(id: TypedUuid<K>) -> String {
    id.to_string()
}

pub(crate) fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// As the database keeps it: whole microseconds.
pub(crate) fn whole_micros(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

/// Counters and generations; beyond 2^63 they stand still.
pub(crate) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn list<T: std::fmt::Display>(values: &[T]) -> String {
    if values.is_empty() {
        return "[]".to_owned();
    }
    Value::from(values.iter().map(T::to_string).collect::<Vec<_>>()).to_string()
}

pub(crate) fn map(values: &BTreeMap<String, String>) -> String {
    Value::Object(values.iter().map(|(key, value)| (key.clone(), json!(value))).collect()).to_string()
}

/// What is kept in one text with blanks between.
pub(crate) fn words(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

pub(crate) fn reason(reason: Option<&Reason>) -> Option<String> {
    reason.map(|reason| {
        json!({"code": reason.code.as_str(), "text": reason.text, "advice": reason.advice}).to_string()
    })
}

pub(crate) fn additional_vips(vips: &[AdditionalVip]) -> String {
    let values = vips.iter().map(|vip| {
        json!({
            "address": vip.address.to_string(),
            "subnet_id": id(vip.subnet_id),
            "network_id": id(vip.network_id),
            "port_id": id(vip.port_id),
        })
    });
    Value::Array(values.collect()).to_string()
}
