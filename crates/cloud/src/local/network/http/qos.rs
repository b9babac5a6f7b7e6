//! QoS policies over HTTP: what ports of load balancers may be limited by. Making them is for administrators, as upstream.

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Caller, Neutron, Refusal};
use crate::local::http::{empty, json as answer};
use crate::local::network::book::{Book, BookError, Direction, LimitRule, Policy};
use crate::local::network::request::{Attributes, Malformed};
use crate::local::network::{Change, view};

const RULES: &str = "bandwidth_limit_rules";
/// Kinds of rules that are never there.
const OTHER_RULES: &[&str] = &[
    "dscp_marking_rules",
    "minimum_bandwidth_rules",
    "minimum_packet_rate_rules",
    "packet_rate_limit_rules",
];

impl Neutron<'_> {
    pub(super) fn qos_show(&self, path: &[&str], caller: &Caller) -> Result<Value, Refusal> {
        let seen = |policy: &&Policy| policy.shared || caller.owns(&policy.project_id);
        let policies =
            || self.network.look(|book| book.policies().filter(seen).map(view::policy).collect::<Vec<_>>());
        let rules = |id: &str| {
            self.network.look(|book| {
                let policy = book.policies().filter(seen).find(|policy| policy.id.to_string() == id);
                let policy = policy.ok_or_else(|| unknown(id))?;
                Ok(policy.rules.iter().map(view::limit_rule).collect::<Vec<_>>())
            })
        };
        match path {
            ["policies"] => self.list("policies", policies()),
            ["policies", id] => self.one("policy", ("QosPolicyNotFound", "QoS policy"), id, policies()),
            ["policies", id, kind] if *kind == RULES => self.list(RULES, rules(id)?),
            ["policies", id, kind] if OTHER_RULES.contains(kind) => {
                rules(id).and_then(|_| self.list(kind, vec![]))
            }
            ["policies", id, kind, rule] if *kind == RULES => {
                self.one("bandwidth_limit_rule", ("QosRuleNotFound", "QoS rule"), rule, rules(id)?)
            }
            ["rule-types"] => self.list("rule_types", vec![json!({"type": "bandwidth_limit"})]),
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, "HTTPNotFound", "The resource could not be found.")),
        }
    }

    pub(super) async fn qos_change(&self, path: &[&str], caller: Caller) -> Result<Response, Refusal> {
        if !caller.admin {
            return Err(Refusal::forbidden());
        }
        let body = self.call.body.clone();
        match (&self.call.method, path) {
            (&Method::POST, ["policies"]) => {
                let project = caller.project.to_string();
                let decide = move |_: &Book, now| {
                    let asked = Asked::read(&body).map_err(Refusal::bad)?;
                    let policy = Policy {
                        id: Uuid::new_v4(),
                        project_id: asked.project_id.unwrap_or(project),
                        name: asked.name.ok_or_else(|| Refusal::bad("name is missing."))?,
                        description: asked.description.unwrap_or_default(),
                        shared: asked.shared.unwrap_or(false),
                        rules: vec![],
                        created_at: now,
                        updated_at: now,
                        revision: 1,
                    };
                    Ok::<_, Refusal>((view::policy(&policy), Change::PolicyPut(Box::new(policy))))
                };
                let document = self.network.change(decide).await?;
                Ok(answer(StatusCode::CREATED, &json!({"policy": document})))
            }
            (&Method::PUT, ["policies", id]) => {
                let id = policy_id(id)?;
                let decide = move |book: &Book, now| {
                    let policy = book.policy(id).ok_or(BookError::PolicyUnknown(id))?;
                    let asked = Asked::read(&body).map_err(Refusal::bad)?;
                    let policy = Policy {
                        name: asked.name.unwrap_or_else(|| policy.name.clone()),
                        description: asked.description.unwrap_or_else(|| policy.description.clone()),
                        shared: asked.shared.unwrap_or(policy.shared),
                        ..policy.changed(now)
                    };
                    Ok::<_, Refusal>((view::policy(&policy), Change::PolicyPut(Box::new(policy))))
                };
                let document = self.network.change(decide).await?;
                Ok(answer(StatusCode::OK, &json!({"policy": document})))
            }
            (&Method::DELETE, ["policies", id]) => {
                let id = policy_id(id)?;
                self.network.change(move |book, _| Ok::<_, Refusal>(((), book.policy_delete(id)?))).await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            (&Method::POST, ["policies", id, kind]) if *kind == RULES => {
                self.rule_change(id, StatusCode::CREATED, move |rules| {
                    let rule = limit_rule(&body, None)?;
                    rules.push(rule.clone());
                    Ok(rule)
                })
                .await
            }
            (&Method::PUT, ["policies", id, kind, rule]) if *kind == RULES => {
                let wanted = (*rule).to_owned();
                self.rule_change(id, StatusCode::OK, move |rules| {
                    let rule = rule_find(rules, &wanted)?;
                    *rule = limit_rule(&body, Some(rule))?;
                    Ok(rule.clone())
                })
                .await
            }
            (&Method::DELETE, ["policies", id, kind, rule]) if *kind == RULES => {
                let wanted = (*rule).to_owned();
                self.rule_change(id, StatusCode::NO_CONTENT, move |rules| {
                    let gone = rule_find(rules, &wanted)?.clone();
                    rules.retain(|rule| rule.id != gone.id);
                    Ok(gone)
                })
                .await
            }
            _ => Err(Refusal::new(
                StatusCode::NOT_IMPLEMENTED,
                "HTTPNotImplemented",
                "Of QoS, the embedded network service has policies with bandwidth limits only.",
            )),
        }
    }

    /// Changes the rules of a policy; answers the rule that it was about.
    async fn rule_change(
        &self,
        id: &str,
        status: StatusCode,
        change: impl FnOnce(&mut Vec<LimitRule>) -> Result<LimitRule, Refusal> + Send + 'static,
    ) -> Result<Response, Refusal> {
        let id = policy_id(id)?;
        let decide = move |book: &Book, now| {
            let mut policy = book.policy(id).ok_or(BookError::PolicyUnknown(id))?.changed(now);
            let rule = change(&mut policy.rules)?;
            let of = |direction| policy.rules.iter().filter(|rule| rule.direction == direction).count();
            if of(Direction::Egress) > 1 || of(Direction::Ingress) > 1 {
                let text = format!("QoS policy {id} limits that direction already.");
                return Err(Refusal::new(StatusCode::CONFLICT, "QoSRulesConflict", text));
            }
            Ok::<_, Refusal>((view::limit_rule(&rule), Change::PolicyPut(Box::new(policy))))
        };
        let document = self.network.change(decide).await?;
        Ok(match status {
            StatusCode::NO_CONTENT => empty(status),
            status => answer(status, &json!({"bandwidth_limit_rule": document})),
        })
    }
}

fn unknown(id: &str) -> Refusal {
    Refusal::not_found("QosPolicyNotFound", "QoS policy", id)
}

fn policy_id(id: &str) -> Result<Uuid, Refusal> {
    id.parse().map_err(|_| unknown(id))
}

fn rule_find<'a>(rules: &'a mut [LimitRule], id: &str) -> Result<&'a mut LimitRule, Refusal> {
    let found = rules.iter_mut().find(|rule| rule.id.to_string() == id);
    found.ok_or_else(|| Refusal::not_found("QosRuleNotFound", "QoS rule", id))
}

/// What may be said of a policy.
struct Asked {
    name: Option<String>,
    description: Option<String>,
    shared: Option<bool>,
    project_id: Option<String>,
}

impl Asked {
    fn read(body: &[u8]) -> Result<Self, Malformed> {
        let mut policy = Attributes::parse(body, "policy")?;
        if policy.flag("is_default")? == Some(true) {
            return Err("is_default can only be false here.".into());
        }
        let (project, tenant) = (policy.text("project_id")?, policy.text("tenant_id")?);
        let asked = Self {
            name: policy.text("name")?,
            description: policy.text("description")?,
            shared: policy.flag("shared")?,
            project_id: project.or(tenant),
        };
        policy.nothing_else()?;
        Ok(asked)
    }
}

/// `now` = the rule that is changed.
fn limit_rule(body: &[u8], now: Option<&LimitRule>) -> Result<LimitRule, Refusal> {
    let read = || {
        let mut rule = Attributes::parse(body, "bandwidth_limit_rule")?;
        let direction = match rule.text("direction")?.as_deref() {
            None => now.map_or(Direction::Egress, |now| now.direction),
            Some("egress") => Direction::Egress,
            Some("ingress") => Direction::Ingress,
            Some(_) => return Err("direction is neither egress nor ingress.".to_owned()),
        };
        let max_kbps = rule.number("max_kbps")?.or(now.map(|now| now.max_kbps));
        let max_burst_kbps = rule.number("max_burst_kbps")?.or(now.map(|now| now.max_burst_kbps));
        // Clients of old say whose it is.
        let _ = (rule.text("tenant_id")?, rule.text("project_id")?);
        rule.nothing_else()?;
        Ok(LimitRule {
            id: now.map_or_else(Uuid::new_v4, |now| now.id),
            direction,
            max_kbps: max_kbps.filter(|kbps| *kbps > 0).ok_or("max_kbps is not a number from 1.")?,
            max_burst_kbps: max_burst_kbps.unwrap_or(0),
        })
    };
    read().map_err(Refusal::bad)
}
