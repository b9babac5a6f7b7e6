//! The calls of the load-balancing API, and the little of the network API that names need.

use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::session::Request;
use crate::{Error, Service, Session};

/// Pages followed when listing; with the service's page of 1,000 this is a million objects.
const MAX_PAGES: usize = 1_000;

const QUOTAS: &str = "/lbaas/quotas";

/// The kinds of object, with how the API calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    LoadBalancer,
    Listener,
    Pool,
    HealthMonitor,
    L7Policy,
    Amphora,
    Flavor,
    FlavorProfile,
    AvailabilityZone,
    AvailabilityZoneProfile,
}

impl Kind {
    /// For messages.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::LoadBalancer => "load balancer",
            Self::Listener => "listener",
            Self::Pool => "pool",
            Self::HealthMonitor => "health monitor",
            Self::L7Policy => "L7 policy",
            Self::Amphora => "amphora",
            Self::Flavor => "flavor",
            Self::FlavorProfile => "flavor profile",
            Self::AvailabilityZone => "availability zone",
            Self::AvailabilityZoneProfile => "availability zone profile",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::LoadBalancer => "/lbaas/loadbalancers",
            Self::Listener => "/lbaas/listeners",
            Self::Pool => "/lbaas/pools",
            Self::HealthMonitor => "/lbaas/healthmonitors",
            Self::L7Policy => "/lbaas/l7policies",
            Self::Amphora => "/octavia/amphorae",
            Self::Flavor => "/lbaas/flavors",
            Self::FlavorProfile => "/lbaas/flavorprofiles",
            Self::AvailabilityZone => "/lbaas/availabilityzones",
            Self::AvailabilityZoneProfile => "/lbaas/availabilityzoneprofiles",
        }
    }

    const fn singular(self) -> &'static str {
        match self {
            Self::LoadBalancer => "loadbalancer",
            Self::Listener => "listener",
            Self::Pool => "pool",
            Self::HealthMonitor => "healthmonitor",
            Self::L7Policy => "l7policy",
            Self::Amphora => "amphora",
            Self::Flavor => "flavor",
            Self::FlavorProfile => "flavorprofile",
            Self::AvailabilityZone => "availability_zone",
            Self::AvailabilityZoneProfile => "availability_zone_profile",
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Self::LoadBalancer => "loadbalancers",
            Self::Listener => "listeners",
            Self::Pool => "pools",
            Self::HealthMonitor => "healthmonitors",
            Self::L7Policy => "l7policies",
            Self::Amphora => "amphorae",
            Self::Flavor => "flavors",
            Self::FlavorProfile => "flavorprofiles",
            Self::AvailabilityZone => "availability_zones",
            Self::AvailabilityZoneProfile => "availability_zone_profiles",
        }
    }

    /// The key of the links to other pages.
    fn links(self) -> String {
        let links = match self {
            // The service's own irregularity.
            Self::FlavorProfile | Self::AvailabilityZoneProfile => self.singular(),
            _ => self.plural(),
        };
        format!("{links}_links")
    }
}

/// A resource as the API shows it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object(pub Map<String, Value>);

impl Object {
    /// An attribute as text; empty when absent, null or not text.
    pub fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn id(&self) -> &str {
        self.text("id")
    }

    pub fn name(&self) -> &str {
        self.text("name")
    }

    pub fn provisioning_status(&self) -> &str {
        self.text("provisioning_status")
    }

    pub fn operating_status(&self) -> &str {
        self.text("operating_status")
    }

    /// What a page begins after: the id; without one the name, or the project's id.
    fn marker(&self) -> &str {
        let names = [self.id(), self.name(), self.text("project_id")];
        names.into_iter().find(|name| !name.is_empty()).unwrap_or_default()
    }

    /// Name, or id when it has none.
    pub fn label(&self) -> &str {
        if self.name().is_empty() { self.id() } else { self.name() }
    }

    /// The ids in a list of references such as `loadbalancers`.
    pub fn references(&self, key: &str) -> Vec<&str> {
        let list = self.0.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(|reference| reference["id"].as_str()).collect()
    }

    /// Why a status is bad, where the service says so.
    pub fn reason(&self) -> Option<String> {
        match self.0.get("status_reason").or_else(|| self.0.get("reason"))? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Object(reason) => {
                let text = reason.get("text").and_then(Value::as_str)?;
                let advice = reason.get("advice").and_then(Value::as_str).unwrap_or_default();
                Some(if advice.is_empty() { text.to_owned() } else { format!("{text} ({advice})") })
            }
            _ => None,
        }
    }
}

/// The API of one service, as one user. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api {
    session: Session,
    /// What writes would do; `None` = they are done.
    plans: Option<Arc<Mutex<Vec<Value>>>>,
}

impl Api {
    pub fn new(session: Session) -> Self {
        Self { session, plans: None }
    }

    /// One whose writes are dry runs: they answer [`Error::Rehearsed`] instead of an object, and leave their plans.
    #[must_use]
    pub fn rehearsing(self) -> Self {
        Self { plans: Some(Arc::default()), ..self }
    }

    /// What the writes since the last call would have done; `None` = they were done.
    pub fn plans(&self) -> Option<Vec<Value>> {
        let plans = self.plans.as_ref()?;
        Some(std::mem::take(&mut *plans.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    // ---- the same for every kind

    pub async fn create(&self, kind: Kind, body: Value) -> Result<Object, Error> {
        let body = json!({ kind.singular(): body });
        let answer = self.call(Method::POST, kind.path(), &[], Some(&body)).await?;
        unwrap(answer, kind.singular())
    }

    /// Every object that matches the filters, over all pages.
    pub async fn list(&self, kind: Kind, filters: &[(&str, String)]) -> Result<Vec<Object>, Error> {
        let place = Place { service: Service::LoadBalancer, path: kind.path(), plural: kind.plural() };
        self.list_at(place, &kind.links(), filters).await
    }

    pub async fn show(&self, kind: Kind, id: &str) -> Result<Object, Error> {
        let answer = self.call(Method::GET, &item(kind.path(), id), &[], None).await?;
        unwrap(answer, kind.singular())
    }

    /// Changes the attributes in `body`, and only those.
    pub async fn set(&self, kind: Kind, id: &str, body: Value) -> Result<Object, Error> {
        let body = json!({ kind.singular(): body });
        let answer = self.call(Method::PUT, &item(kind.path(), id), &[], Some(&body)).await?;
        unwrap(answer, kind.singular())
    }

    pub async fn delete(&self, kind: Kind, id: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &item(kind.path(), id), &[], None).await.map(drop)
    }

    /// The id of what is called `name`; `name` may be the id.
    pub async fn find(&self, kind: Kind, name: &str) -> Result<String, Error> {
        Ok(self.find_object(kind, name).await?.id().to_owned())
    }

    pub async fn find_object(&self, kind: Kind, name: &str) -> Result<Object, Error> {
        named(name)?;
        if looks_like_id(name) {
            match self.show(kind, name).await {
                Err(e) if e.is_not_found() => {}
                other => return other,
            }
        }
        let named = if kind == Kind::Amphora {
            vec![]
        } else {
            self.list(kind, &[("name", name.to_owned())]).await?
        };
        only(kind.noun(), name, named)
    }

    /// The object as `show` has it: with the reason of a bad status, which a list leaves out.
    pub async fn show_named(&self, kind: Kind, name: &str) -> Result<Object, Error> {
        let found = self.find_object(kind, name).await?;
        if found.id() == name { Ok(found) } else { self.show(kind, found.id()).await }
    }

    // ---- load balancers

    /// `cascade` takes listeners, pools and all below with it.
    pub async fn lb_delete(&self, id: &str, cascade: bool) -> Result<(), Error> {
        let query = if cascade { vec![("cascade", "true".to_owned())] } else { vec![] };
        self.call(Method::DELETE, &item(Kind::LoadBalancer.path(), id), &query, None).await.map(drop)
    }

    /// The status tree: `{"loadbalancer": {… "listeners": […]}}`.
    pub async fn lb_status(&self, id: &str) -> Result<Value, Error> {
        let path = format!("{}/status", item(Kind::LoadBalancer.path(), id));
        Ok(self.call(Method::GET, &path, &[], None).await?["statuses"].take())
    }

    pub async fn lb_stats(&self, id: &str) -> Result<Object, Error> {
        let path = format!("{}/stats", item(Kind::LoadBalancer.path(), id));
        unwrap(self.call(Method::GET, &path, &[], None).await?, "stats")
    }

    pub async fn lb_failover(&self, id: &str) -> Result<(), Error> {
        let path = format!("{}/failover", item(Kind::LoadBalancer.path(), id));
        self.call(Method::PUT, &path, &[], None).await.map(drop)
    }

    /// The newest entries of the ledger of what workers do, at most `limit`.
    pub async fn lb_operation_list(&self, id: &str, limit: u16) -> Result<Vec<Object>, Error> {
        let path = format!("{}/operations", item(Kind::LoadBalancer.path(), id));
        let answer = self.call(Method::GET, &path, &[("limit", limit.to_string())], None).await?;
        rows(answer, "operations")
    }

    // ---- amphorae

    /// What it counted, for each listener.
    pub async fn amphora_stats(&self, id: &str) -> Result<Vec<Object>, Error> {
        let path = format!("{}/stats", item(Kind::Amphora.path(), id));
        rows(self.call(Method::GET, &path, &[], None).await?, "amphora_stats")
    }

    /// Its configuration is sent to it again.
    pub async fn amphora_configure(&self, id: &str) -> Result<(), Error> {
        let path = format!("{}/config", item(Kind::Amphora.path(), id));
        self.call(Method::PUT, &path, &[], None).await.map(drop)
    }

    pub async fn amphora_failover(&self, id: &str) -> Result<(), Error> {
        let path = format!("{}/failover", item(Kind::Amphora.path(), id));
        self.call(Method::PUT, &path, &[], None).await.map(drop)
    }

    pub async fn listener_stats(&self, id: &str) -> Result<Object, Error> {
        let path = format!("{}/stats", item(Kind::Listener.path(), id));
        unwrap(self.call(Method::GET, &path, &[], None).await?, "stats")
    }

    // ---- providers

    pub async fn provider_list(&self) -> Result<Vec<Object>, Error> {
        let place = Place { service: Service::LoadBalancer, path: "/lbaas/providers", plural: "providers" };
        self.list_at(place, "", &[]).await
    }

    /// What the provider knows in the data of a `noun`: `flavor` or `availability_zone`.
    pub async fn provider_capability_list(&self, provider: &str, noun: &str) -> Result<Vec<Object>, Error> {
        let plural = format!("{noun}_capabilities");
        let path = format!("{}/{plural}", item("/lbaas/providers", provider));
        let place = Place { service: Service::LoadBalancer, path: &path, plural: &plural };
        self.list_at(place, "", &[]).await
    }

    // ---- members, which live below their pool

    pub async fn member_create(&self, pool: &str, body: Value) -> Result<Object, Error> {
        let answer = self.call(Method::POST, &members(pool), &[], Some(&json!({ "member": body }))).await?;
        unwrap(answer, "member")
    }

    pub async fn member_list(&self, pool: &str, filters: &[(&str, String)]) -> Result<Vec<Object>, Error> {
        let path = members(pool);
        let place = Place { service: Service::LoadBalancer, path: &path, plural: "members" };
        self.list_at(place, "members_links", filters).await
    }

    pub async fn member_show(&self, pool: &str, id: &str) -> Result<Object, Error> {
        unwrap(self.call(Method::GET, &item(&members(pool), id), &[], None).await?, "member")
    }

    pub async fn member_set(&self, pool: &str, id: &str, body: Value) -> Result<Object, Error> {
        let body = json!({ "member": body });
        unwrap(self.call(Method::PUT, &item(&members(pool), id), &[], Some(&body)).await?, "member")
    }

    pub async fn member_delete(&self, pool: &str, id: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &item(&members(pool), id), &[], None).await.map(drop)
    }

    /// Makes the pool's members exactly these; with `additive`, leaves the others alone.
    pub async fn member_replace(&self, pool: &str, list: Vec<Value>, additive: bool) -> Result<(), Error> {
        let query = if additive { vec![("additive_only", "true".to_owned())] } else { vec![] };
        let body = json!({ "members": list });
        self.call(Method::PUT, &members(pool), &query, Some(&body)).await.map(drop)
    }

    /// A member by id, by name, or by `address:port`.
    pub async fn member_find(&self, pool: &str, name: &str) -> Result<Object, Error> {
        named(name)?;
        let all = self.member_list(pool, &[]).await?;
        let matches = |member: &Object| {
            let address = member.text("address");
            let port = member.0.get("protocol_port").and_then(Value::as_u64).unwrap_or_default();
            member.id() == name
                || member.name() == name
                || format!("{address}:{port}") == name
                || format!("[{address}]:{port}") == name
        };
        only("member", name, all.into_iter().filter(matches).collect())
    }

    // ---- L7 rules, which live below their policy

    pub async fn l7rule_create(&self, policy: &str, body: Value) -> Result<Object, Error> {
        let answer = self.call(Method::POST, &l7rules(policy), &[], Some(&json!({ "rule": body }))).await?;
        unwrap(answer, "rule")
    }

    pub async fn l7rule_list(&self, policy: &str, filters: &[(&str, String)]) -> Result<Vec<Object>, Error> {
        let path = l7rules(policy);
        let place = Place { service: Service::LoadBalancer, path: &path, plural: "rules" };
        self.list_at(place, "rules_links", filters).await
    }

    pub async fn l7rule_show(&self, policy: &str, id: &str) -> Result<Object, Error> {
        unwrap(self.call(Method::GET, &item(&l7rules(policy), id), &[], None).await?, "rule")
    }

    pub async fn l7rule_set(&self, policy: &str, id: &str, body: Value) -> Result<Object, Error> {
        let body = json!({ "rule": body });
        unwrap(self.call(Method::PUT, &item(&l7rules(policy), id), &[], Some(&body)).await?, "rule")
    }

    pub async fn l7rule_delete(&self, policy: &str, id: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &item(&l7rules(policy), id), &[], None).await.map(drop)
    }

    // ---- quotas, which are found by project

    pub async fn quota_list(&self, filters: &[(&str, String)]) -> Result<Vec<Object>, Error> {
        let place = Place { service: Service::LoadBalancer, path: QUOTAS, plural: "quotas" };
        self.list_at(place, "quotas_links", filters).await
    }

    pub async fn quota_show(&self, project: &str) -> Result<Object, Error> {
        unwrap(self.call(Method::GET, &item(QUOTAS, project), &[], None).await?, "quota")
    }

    /// Null lets the configured limit count again.
    pub async fn quota_set(&self, project: &str, limits: Value) -> Result<Object, Error> {
        let body = json!({ "quota": limits });
        unwrap(self.call(Method::PUT, &item(QUOTAS, project), &[], Some(&body)).await?, "quota")
    }

    /// Lets all configured limits count again.
    pub async fn quota_reset(&self, project: &str) -> Result<(), Error> {
        self.call(Method::DELETE, &item(QUOTAS, project), &[], None).await.map(drop)
    }

    /// The configured limits.
    pub async fn quota_defaults(&self) -> Result<Object, Error> {
        self.quota_show("defaults").await
    }

    // ---- the network service

    /// The id of a `noun` (`subnet`, `network` or `port`) called `name`.
    pub async fn network_find(&self, noun: &'static str, name: &str) -> Result<String, Error> {
        named(name)?;
        if looks_like_id(name) {
            return Ok(name.to_owned());
        }
        let (path, plural) = match noun {
            "subnet" => ("/subnets", "subnets"),
            "network" => ("/networks", "networks"),
            _ => ("/ports", "ports"),
        };
        let place = Place { service: Service::Network, path, plural };
        let named = self.list_at(place, &format!("{plural}_links"), &[("name", name.to_owned())]).await?;
        Ok(only(noun, name, named)?.id().to_owned())
    }

    // ---- plumbing

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, Error> {
        let service = Service::LoadBalancer;
        let Some(plans) = self.plans.as_ref().filter(|_| method != Method::GET) else {
            return self.session.request(Request { service, method, path, query, body }).await;
        };
        let mut query = query.to_vec();
        query.push(("dry_run", "true".to_owned()));
        let mut answer = self.session.request(Request { service, method, path, query: &query, body }).await?;
        let plan = answer["dry_run"].take();
        if plan.is_null() {
            let reason = "the service does not know dry runs, and may have done it".to_owned();
            return Err(Error::Answer { url: path.to_owned(), reason });
        }
        plans.lock().unwrap_or_else(PoisonError::into_inner).push(plan);
        Ok(answer)
    }

    async fn list_at(
        &self,
        Place { service, path, plural }: Place<'_>,
        links: &str,
        filters: &[(&str, String)],
    ) -> Result<Vec<Object>, Error> {
        let mut all: Vec<Object> = vec![];
        for _ in 0..MAX_PAGES {
            // The service's `next` links drop filters, so only their presence is used.
            let mut query = filters.to_vec();
            if let Some(last) = all.last() {
                query.push(("marker", last.marker().to_owned()));
            }
            let request = Request { service, method: Method::GET, path, query: &query, body: None };
            let mut answer = self.session.request(request).await?;
            let page = match answer[plural].take() {
                Value::Array(page) => page,
                _ => {
                    return Err(Error::Answer { url: path.to_owned(), reason: format!("no {plural} in it") });
                }
            };
            let empty = page.is_empty();
            all.extend(page.into_iter().filter_map(|value| match value {
                Value::Object(map) => Some(Object(map)),
                _ => None,
            }));
            let links = answer[links].as_array().map(Vec::as_slice).unwrap_or_default();
            if empty || !links.iter().any(|link| link["rel"] == "next") {
                return Ok(all);
            }
        }
        Err(Error::Answer { url: path.to_owned(), reason: format!("more than {MAX_PAGES} pages") })
    }
}

/// Where a list is, and the key of its objects.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    service: Service,
    path: &'a str,
    plural: &'a str,
}

fn l7rules(policy: &str) -> String {
    format!("{}/rules", item(Kind::L7Policy.path(), policy))
}

fn members(pool: &str) -> String {
    format!("{}/members", item(Kind::Pool.path(), pool))
}

/// A path segment is made of what users type: everything but unreserved characters is escaped.
fn item(path: &str, id: &str) -> String {
    let mut url = format!("{path}/");
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => url.push(char::from(byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

fn unwrap(mut answer: Value, key: &str) -> Result<Object, Error> {
    match answer[key].take() {
        Value::Object(map) => Ok(Object(map)),
        _ if answer.get("dry_run").is_some() => Err(Error::Rehearsed),
        _ => Err(Error::Answer { url: "the service".to_owned(), reason: format!("no {key} in it") }),
    }
}

fn rows(mut answer: Value, key: &str) -> Result<Vec<Object>, Error> {
    let objects = match answer[key].take() {
        Value::Array(rows) => rows.into_iter().map(|row| match row {
            Value::Object(map) => Some(Object(map)),
            _ => None,
        }),
        _ => return Err(Error::Answer { url: "the service".to_owned(), reason: format!("no {key} in it") }),
    };
    Ok(objects.flatten().collect())
}

/// What is not named cannot be meant, though objects without a name would be found.
pub(crate) fn named(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::Usage("an empty name or id names nothing".to_owned()));
    }
    Ok(())
}

fn only(what: &'static str, name: &str, mut named: Vec<Object>) -> Result<Object, Error> {
    match (named.len(), named.pop()) {
        (1, Some(object)) => Ok(object),
        (_, None) => Err(Error::NotFound { what, name: name.to_owned() }),
        (_, Some(last)) => {
            named.push(last);
            let ids = named.iter().map(|o| o.id().to_owned()).collect();
            Err(Error::Ambiguous { what, name: name.to_owned(), ids })
        }
    }
}

/// 32 hexadecimal digits, with or without dashes.
fn looks_like_id(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    digits == 32 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_segments_are_escaped() {
        for (id, path) in
            [("a-b_1", "/x/a-b_1"), ("a/b", "/x/a%2Fb"), ("..", "/x/%2E%2E"), ("é?", "/x/%C3%A9%3F")]
        {
            assert_eq!(item("/x", id), path);
        }
    }

    #[test]
    fn ids_are_told_from_names() {
        assert!(looks_like_id("6e6c4a2e-7f43-4d5a-9a43-3e4e4bb9a3b1"));
        assert!(looks_like_id("6e6c4a2e7f434d5a9a433e4e4bb9a3b1"));
        for name in ["web", "", "6e6c4a2e", "6e6c4a2e-7f43-4d5a-9a43-3e4e4bb9a3bz"] {
            assert!(!looks_like_id(name), "{name}");
        }
    }

    #[test]
    fn reasons_in_both_forms() {
        let object = |value: Value| Object(value.as_object().cloned().unwrap_or_default());
        assert_eq!(object(json!({ "status_reason": "why" })).reason().as_deref(), Some("why"));
        assert_eq!(
            object(json!({ "status_reason": { "code": "X", "text": "why", "advice": "do" } }))
                .reason()
                .as_deref(),
            Some("why (do)")
        );
        assert_eq!(object(json!({ "status_reason": null })).reason(), None);
    }
}
