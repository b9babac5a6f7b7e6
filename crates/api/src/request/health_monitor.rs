//! Bodies of health monitors.

use octavia_model::{HealthMonitorType, HttpMethod, PoolId};

use super::{Call, project, tags};
use crate::body::{
    Document, EXPECTED_CODES, HOST_NAME, Object, Sent, TEXT_MAX, is_expected_codes, is_host_name, is_url_path,
};
use crate::fault::Fault;

pub(crate) const ARGUMENT: &str = "health_monitor_";
pub(crate) const ROOT: &str = "healthmonitor";

macro_rules! keys {
    ($($extra:literal),*) => {
        &[
            "name",
            "admin_state_up",
            "delay",
            "timeout",
            "max_retries",
            "max_retries_down",
            "http_method",
            "url_path",
            "expected_codes",
            "http_version",
            "domain_name",
            "tags",
            $($extra),*
        ]
    };
}

pub(crate) const UPDATE: &[&str] = keys!();
pub(crate) const CREATE: &[&str] = keys!("type", "pool_id", "project_id", "tenant_id");
pub(crate) const NESTED: &[&str] = keys!("type");

#[derive(Debug, Default)]
pub(crate) struct HealthMonitorBody {
    pub(crate) name: Sent<String>,
    pub(crate) admin_state_up: Sent<bool>,
    pub(crate) pool_id: Sent<PoolId>,
    pub(crate) kind: Sent<HealthMonitorType>,
    pub(crate) delay: Sent<u32>,
    pub(crate) timeout: Sent<u32>,
    pub(crate) max_retries: Sent<u8>,
    pub(crate) max_retries_down: Sent<u8>,
    pub(crate) http_method: Sent<HttpMethod>,
    pub(crate) url_path: Sent<String>,
    pub(crate) expected_codes: Sent<String>,
    pub(crate) http_version: Sent<f32>,
    pub(crate) domain_name: Sent<String>,
    pub(crate) tags: Sent<Vec<String>>,
}

impl HealthMonitorBody {
    pub(crate) fn decode(document: &Document, call: Call) -> Result<Self, Fault> {
        let object = document.object(ROOT, if call == Call::Update { UPDATE } else { CREATE })?;
        Self::read(&object, call)
    }

    pub(crate) fn read(object: &Object<'_>, call: Call) -> Result<Self, Fault> {
        let body = Self {
            name: object.label("name")?,
            kind: object.word("type")?,
            delay: object.integer("delay", 0, i32::MAX.into())?,
            timeout: object.integer("timeout", 0, i32::MAX.into())?,
            max_retries_down: object.integer("max_retries_down", 1, 10)?,
            max_retries: object.integer("max_retries", 1, 10)?,
            http_method: object.word("http_method")?,
            url_path: object.text_where(
                "url_path",
                TEXT_MAX,
                is_url_path,
                "Value must be a valid URL Path string",
            )?,
            expected_codes: object.text_where(
                "expected_codes",
                64,
                is_expected_codes,
                &format!("Value should match the pattern {EXPECTED_CODES}"),
            )?,
            admin_state_up: object.boolean("admin_state_up")?,
            tags: tags(object)?,
            http_version: object.http_version("http_version")?,
            domain_name: object.text_where(
                "domain_name",
                TEXT_MAX,
                is_host_name,
                &format!("Value should match the pattern {HOST_NAME}"),
            )?,
            pool_id: object.id("pool_id")?,
        };
        project(object)?;
        if call != Call::Update {
            body.kind.required("type")?;
            body.delay.required("delay")?;
            body.timeout.required("timeout")?;
            body.max_retries.required("max_retries")?;
            if body.max_retries_down.is_null() {
                // The original breaks on it.
                body.max_retries_down.required("max_retries_down")?;
            }
        }
        if call == Call::Create {
            body.pool_id.required("pool_id")?;
        }
        Ok(body)
    }
}
