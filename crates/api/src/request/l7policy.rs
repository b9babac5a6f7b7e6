//! Bodies of L7 policies.

use octavia_model::{L7Policy, L7PolicyAction, ListenerId, PoolId};

use super::l7rule::{self, L7RuleBody};
use super::pool::PoolBody;
use super::{Call, pool, project, tags};
use crate::body::{Document, Object, Sent, TEXT_MAX, is_http_url};
use crate::fault::Fault;

pub(crate) const ARGUMENT: &str = "l7policy_";
pub(crate) const ROOT: &str = "l7policy";

macro_rules! keys {
    ($($extra:literal),*) => {
        &[
            "name",
            "description",
            "admin_state_up",
            "action",
            "redirect_url",
            "redirect_prefix",
            "redirect_http_code",
            "position",
            "tags",
            $($extra),*
        ]
    };
}

pub(crate) const UPDATE: &[&str] = keys!("redirect_pool_id");
pub(crate) const CREATE: &[&str] = keys!("redirect_pool_id", "listener_id", "project_id", "tenant_id");
pub(crate) const NESTED: &[&str] = keys!("redirect_pool", "rules");

#[derive(Debug, Default)]
pub(crate) struct L7PolicyBody {
    pub(crate) name: Sent<String>,
    pub(crate) description: Sent<String>,
    pub(crate) admin_state_up: Sent<bool>,
    pub(crate) listener_id: Sent<ListenerId>,
    pub(crate) action: Sent<L7PolicyAction>,
    pub(crate) redirect_pool_id: Sent<PoolId>,
    pub(crate) redirect_pool: Sent<PoolBody>,
    pub(crate) redirect_url: Sent<String>,
    pub(crate) redirect_prefix: Sent<String>,
    pub(crate) redirect_http_code: Sent<u16>,
    pub(crate) position: Sent<u32>,
    pub(crate) rules: Vec<L7RuleBody>,
    pub(crate) tags: Sent<Vec<String>>,
    /// Nothing was sent at all.
    pub(crate) is_empty: bool,
}

impl L7PolicyBody {
    pub(crate) fn decode(document: &Document, call: Call) -> Result<Self, Fault> {
        let object = document.object(ROOT, if call == Call::Update { UPDATE } else { CREATE })?;
        Self::read(&object, call)
    }

    pub(crate) fn read(object: &Object<'_>, call: Call) -> Result<Self, Fault> {
        let url = |key| object.text_where(key, TEXT_MAX, is_http_url, "Value must be a valid URL string");
        let body = Self {
            name: object.label("name")?,
            description: object.label("description")?,
            admin_state_up: object.boolean("admin_state_up")?,
            action: object.word("action")?,
            redirect_pool_id: object.id("redirect_pool_id")?,
            redirect_pool: match object.object("redirect_pool", pool::NESTED)? {
                Sent::Value(item) => Sent::Value(PoolBody::read(&item, Call::Nested)?),
                Sent::Absent | Sent::Null => Sent::Absent,
            },
            redirect_url: url("redirect_url")?,
            redirect_prefix: url("redirect_prefix")?,
            redirect_http_code: object.number_of("redirect_http_code", L7Policy::REDIRECT_CODES)?,
            position: object.integer("position", 1, L7Policy::POSITION_MAX.into())?,
            rules: object
                .objects("rules", l7rule::NESTED)?
                .or(vec![])
                .iter()
                .map(|item| L7RuleBody::read(item, Call::Nested))
                .collect::<Result<_, _>>()?,
            tags: tags(object)?,
            listener_id: object.id("listener_id")?,
            is_empty: object.is_empty(),
        };
        project(object)?;
        if call != Call::Update {
            body.action.required("action")?;
        }
        if call == Call::Create {
            body.listener_id.required("listener_id")?;
        }
        Ok(body)
    }
}
