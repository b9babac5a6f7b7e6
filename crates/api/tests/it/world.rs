//! A cloud for one test: a network with a few subnets and ports, an identity that believes its tokens, a store in
//! memory, and the API over them.

#[path = "secrets.rs"]
pub(crate) mod secrets;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode};
use octavia_api::{
    ApiMetrics, ApiOptions, ApiState, Audit, Authentication, DataPlane, PendingWrites, Policy,
};
use octavia_cloud::{
    CloudError, Identity, IdentityError, Network, NetworkInfo, PortInfo, RequestContext, SubnetInfo, VipPort,
    VipRequest,
};
use octavia_model::{
    Amphora, AmphoraId, AmphoraRole, AmphoraStatus, LoadBalancerId, NetworkId, PortId, ProjectId, Reason,
    ReasonCode, SecurityGroupId, SubnetId, WorkerId,
};
use octavia_store::{Interceptor, Lease, Release, Settlement, Store, StoreOptions};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) const NETWORK: &str = "11111111-1111-4111-8111-111111111111";
pub(crate) const EMPTY_NETWORK: &str = "11111111-1111-4111-8111-111111111112";
pub(crate) const OTHER_NETWORK: &str = "11111111-1111-4111-8111-111111111113";
pub(crate) const SUBNET: &str = "22222222-2222-4222-8222-222222222221";
pub(crate) const SUBNET6: &str = "22222222-2222-4222-8222-222222222226";
pub(crate) const FULL_SUBNET: &str = "22222222-2222-4222-8222-222222222229";
pub(crate) const OTHER_SUBNET: &str = "22222222-2222-4222-8222-222222222223";
pub(crate) const PORT: &str = "33333333-3333-4333-8333-333333333331";
pub(crate) const BOUND_PORT: &str = "33333333-3333-4333-8333-333333333332";
pub(crate) const WIDE_PORT: &str = "33333333-3333-4333-8333-333333333333";
/// Of another project.
pub(crate) const FOREIGN_PORT: &str = "33333333-3333-4333-8333-333333333334";
pub(crate) const GROUP: &str = "44444444-4444-4444-8444-444444444444";
pub(crate) const QOS_POLICY: &str = "66666666-6666-4666-8666-666666666666";
pub(crate) const ABSENT: &str = "99999999-9999-4999-8999-999999999999";

fn id<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("an id")
}

/// Hands out addresses of 10.0.0.0/24 and fd00::/64 and remembers who has which.
#[derive(Debug, Default)]
pub(crate) struct FakeNetwork {
    pub(crate) vips: Mutex<BTreeMap<LoadBalancerId, VipPort>>,
}

#[async_trait]
impl Network for FakeNetwork {
    async fn subnet_get(&self, wanted: SubnetId) -> Result<Option<SubnetInfo>, CloudError> {
        let known = [
            (SUBNET, NETWORK, "10.0.0.0/24", 200),
            (SUBNET6, NETWORK, "fd00::/64", 200),
            (FULL_SUBNET, NETWORK, "10.0.9.0/24", 0),
            (OTHER_SUBNET, OTHER_NETWORK, "10.1.0.0/24", 0),
        ];
        Ok(known.iter().find(|(subnet, ..)| id::<SubnetId>(subnet) == wanted).map(
            |(subnet, network, cidr, free)| SubnetInfo {
                id: id(subnet),
                network_id: id(network),
                name: "a subnet".to_owned(),
                cidr: cidr.parse().expect("a CIDR"),
                free: *free,
            },
        ))
    }

    async fn network_get(&self, wanted: NetworkId) -> Result<Option<NetworkInfo>, CloudError> {
        let known: [(&str, &[&str]); 3] = [
            (NETWORK, &[SUBNET6, FULL_SUBNET, SUBNET]),
            (EMPTY_NETWORK, &[]),
            (OTHER_NETWORK, &[OTHER_SUBNET]),
        ];
        Ok(known.iter().find(|(network, _)| id::<NetworkId>(network) == wanted).map(|(network, subnets)| {
            NetworkInfo {
                id: id(network),
                name: "a network".to_owned(),
                subnets: subnets.iter().map(|subnet| id(subnet)).collect(),
                port_security_enabled: true,
            }
        }))
    }

    async fn port_get(&self, wanted: PortId) -> Result<Option<PortInfo>, CloudError> {
        let known: [(&str, &[(&str, &str)], &str); 4] = [
            (PORT, &[(SUBNET, "10.0.0.77")], ""),
            (FOREIGN_PORT, &[(SUBNET, "10.0.0.80")], ""),
            (BOUND_PORT, &[(SUBNET, "10.0.0.78")], "a server"),
            (WIDE_PORT, &[(SUBNET, "10.0.0.79"), (SUBNET6, "fd00::79")], ""),
        ];
        Ok(known.iter().find(|(port, ..)| id::<PortId>(port) == wanted).map(|(port, ips, device)| PortInfo {
            id: id(port),
            network_id: id(NETWORK),
            fixed_ips: ips.iter().map(|(subnet, ip)| (id(subnet), ip.parse().expect("an address"))).collect(),
            project_id: match *port {
                // Anybody's.
                PORT => None,
                FOREIGN_PORT => Some(ProjectId::new("other")),
                _ => Some(ProjectId::new("own")),
            },
            device_id: (*device).to_owned(),
            qos_policy_id: None,
        }))
    }

    async fn security_group_exists(&self, wanted: SecurityGroupId) -> Result<bool, CloudError> {
        Ok(wanted == id(GROUP))
    }

    async fn qos_policy_exists(&self, wanted: uuid::Uuid) -> Result<bool, CloudError> {
        Ok(wanted == id::<uuid::Uuid>(QOS_POLICY))
    }

    async fn vip_ensure(&self, request: &VipRequest) -> Result<VipPort, CloudError> {
        let mut vips = self.vips.lock().expect("not poisoned");
        let port = place(&vips, request)?;
        vips.insert(request.load_balancer_id, port.clone());
        Ok(port)
    }

    async fn vip_check(&self, request: &VipRequest) -> Result<(), CloudError> {
        place(&self.vips.lock().expect("not poisoned"), request).map(drop)
    }

    async fn vip_release(&self, load_balancer: LoadBalancerId) -> Result<(), CloudError> {
        self.vips.lock().expect("not poisoned").remove(&load_balancer);
        Ok(())
    }

    async fn vip_list(&self) -> Result<Vec<LoadBalancerId>, CloudError> {
        Ok(self.vips.lock().expect("not poisoned").keys().copied().collect())
    }
}

fn place(vips: &BTreeMap<LoadBalancerId, VipPort>, request: &VipRequest) -> Result<VipPort, CloudError> {
    let is_v4 = request.subnet_id == id(SUBNET);
    let free = (10..250u8)
        .map(|last| if is_v4 { format!("10.0.0.{last}") } else { format!("fd00::{last}") })
        .map(|text| text.parse().expect("an address"))
        .find(|address| vips.values().all(|vip| vip.address != *address));
    let address = request.address.or(free).ok_or_else(|| CloudError::refused("no address left"))?;
    if vips.values().any(|vip| vip.address == address) {
        return Err(CloudError::refused(format!("{address} is taken.")));
    }
    Ok(VipPort {
        port_id: request.port_id.unwrap_or_else(PortId::new_v4),
        network_id: request.network_id,
        subnet_id: request.subnet_id,
        address,
        owned: request.port_id.is_none(),
        additional: request
            .additional
            .iter()
            .map(|wanted| (wanted.subnet_id, wanted.address.unwrap_or([10, 0, 0, 251].into())))
            .collect(),
    })
}

/// A token says who it is for: `role,role@project`, `role@` without a project, `role@!system` or `role@!domain`.
/// `down` finds nobody home, and `silence` is never answered.
#[derive(Debug)]
struct FakeIdentity;

#[async_trait]
impl Identity for FakeIdentity {
    async fn verify(&self, token: &str) -> Result<RequestContext, IdentityError> {
        if token == "down" {
            return Err(IdentityError::Unavailable("connection refused".to_owned()));
        }
        if token == "silence" {
            std::future::pending::<()>().await;
        }
        if token == "panic" {
            panic!("a defect, on purpose");
        }
        let (roles, project) = token.split_once('@').ok_or(IdentityError::InvalidToken)?;
        let scope = |name: &str, value: &str| (project == name).then(|| value.to_owned());
        let own = !project.is_empty() && !project.starts_with('!');
        Ok(RequestContext {
            user_id: "user".to_owned(),
            user_name: "user".to_owned(),
            project_id: own.then(|| ProjectId::new(project)),
            domain_id: scope("!domain", "d"),
            system_scope: scope("!system", "all"),
            roles: roles.split(',').filter(|role| !role.is_empty()).map(str::to_owned).collect(),
            audit_ids: ["own", "chain"].map(str::to_owned).to_vec(),
            ..RequestContext::default()
        })
    }

    fn auth_uri(&self) -> &str {
        "http://identity.test/v3"
    }
}

pub(crate) struct World {
    pub(crate) router: axum::Router,
    pub(crate) store: Store,
    pub(crate) network: Arc<FakeNetwork>,
    pub(crate) secrets: Arc<secrets::FakeSecrets>,
    pub(crate) metrics: ApiMetrics,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    /// What an error says, whichever of its shapes it has.
    pub(crate) fn text(&self) -> String {
        let text = [&self.body["faultstring"], &self.body["description"], &self.body["error"]["message"]];
        text.iter().find_map(|text| text.as_str()).unwrap_or_default().to_owned()
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

/// The caller most tests are: a member of the project that owns nearly everything.
pub(crate) const MEMBER: &str = "member@own";

/// Who makes what belongs to nobody.
pub(crate) const ADMIN: &str = "admin@own";

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(ApiOptions::default()).await
    }

    pub(crate) async fn rejecting() -> Self {
        Self::with(ApiOptions { pending_writes: PendingWrites::Reject, ..ApiOptions::default() }).await
    }

    /// One where nothing is refused because our data plane does not do it.
    pub(crate) async fn of_anything() -> Self {
        Self::of_anything_with(ApiOptions::default()).await
    }

    pub(crate) async fn of_anything_with(options: ApiOptions) -> Self {
        Self::with(ApiOptions { data_plane: DataPlane::Anything, ..options }).await
    }

    pub(crate) async fn with(options: ApiOptions) -> Self {
        Self::assemble(options, Authentication::Keystone(Arc::new(FakeIdentity))).await
    }

    pub(crate) async fn with_policy(policy: Policy) -> Self {
        let authentication = Authentication::Keystone(Arc::new(FakeIdentity));
        Self::build(ApiOptions::default(), authentication, policy, StoreOptions::default()).await
    }

    pub(crate) async fn noauth() -> Self {
        Self::assemble(ApiOptions::default(), Authentication::NoAuth).await
    }

    /// A store whose operations an interceptor can make fail.
    pub(crate) async fn intercepted(interceptor: Arc<dyn Interceptor>) -> Self {
        Self::intercepted_with(ApiOptions::default(), interceptor).await
    }

    pub(crate) async fn intercepted_with(options: ApiOptions, interceptor: Arc<dyn Interceptor>) -> Self {
        let store = StoreOptions { interceptor: Some(interceptor), ..StoreOptions::default() };
        let authentication = Authentication::Keystone(Arc::new(FakeIdentity));
        Self::build(options, authentication, Policy::default(), store).await
    }

    async fn assemble(options: ApiOptions, authentication: Authentication) -> Self {
        Self::build(options, authentication, Policy::default(), StoreOptions::default()).await
    }

    /// One whose writes are recorded.
    pub(crate) async fn audited(options: ApiOptions, audit: Audit) -> Self {
        let authentication = Authentication::Keystone(Arc::new(FakeIdentity));
        Self::build_with(options, authentication, Policy::default(), StoreOptions::default(), audit).await
    }

    async fn build(
        options: ApiOptions,
        authentication: Authentication,
        policy: Policy,
        store: StoreOptions,
    ) -> Self {
        Self::build_with(options, authentication, policy, store, Audit::default()).await
    }

    async fn build_with(
        options: ApiOptions,
        authentication: Authentication,
        policy: Policy,
        store: StoreOptions,
        audit: Audit,
    ) -> Self {
        let store = Store::connect("sqlite::memory:", store).await.expect("a store");
        store.migrate().await.expect("a schema");
        let network = Arc::new(FakeNetwork::default());
        let secrets = Arc::new(secrets::FakeSecrets::new());
        let metrics = ApiMetrics::default();
        let router = octavia_api::router(ApiState {
            store: store.clone(),
            network: network.clone(),
            secrets: secrets.clone(),
            authentication,
            policy,
            options: Arc::new(options),
            metrics: metrics.clone(),
            audit,
        });
        Self { router, store, network, secrets, metrics }
    }

    /// Another API over the same store and cloud.
    pub(crate) fn another_controller(&self) -> axum::Router {
        octavia_api::router(ApiState {
            store: self.store.clone(),
            network: self.network.clone(),
            secrets: self.secrets.clone(),
            authentication: Authentication::Keystone(Arc::new(FakeIdentity)),
            policy: Policy::default(),
            options: Arc::new(ApiOptions::default()),
            metrics: ApiMetrics::default(),
            audit: Audit::default(),
        })
    }

    /// Requests that are being answered.
    pub(crate) fn in_flight(&self) -> i64 {
        let (mut registry, mut text) = (Registry::default(), String::new());
        self.metrics.register(&mut registry);
        encode(&mut text, &registry).expect("encoded");
        let line = text.lines().find_map(|line| line.strip_prefix("api_requests_in_flight "));
        line.expect("it is counted").parse().expect("a number")
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        reply(self.router.clone().oneshot(request).await.expect("infallible")).await
    }

    /// A path that does not begin with `/` is below `/v2/lbaas/`.
    pub(crate) async fn call_as(&self, token: &str, method: &str, path: &str, body: Option<&str>) -> Reply {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/v2/lbaas/{path}") };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "api.test:9876")
            .header("x-auth-token", token);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_owned()));
        self.send(request.body(body).expect("a request")).await
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.call_as(MEMBER, "GET", path, None).await.expect(200)
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.call_as(MEMBER, "POST", path, Some(&body.to_string())).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.call_as(MEMBER, "PUT", path, Some(&body.to_string())).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call_as(MEMBER, "DELETE", path, None).await
    }

    /// Creates a load balancer with what the body adds, and returns its id.
    pub(crate) async fn load_balancer(&self, token: &str, extra: Value) -> LoadBalancerId {
        let mut body = json!({ "loadbalancer": { "vip_subnet_id": SUBNET } });
        merge(&mut body["loadbalancer"], &extra);
        let reply = self.call_as(token, "POST", "loadbalancers", Some(&body.to_string())).await.expect(201);
        id(reply["loadbalancer"]["id"].as_str().expect("an id"))
    }

    /// Makes something as an administrator, and returns it.
    pub(crate) async fn offer(&self, path: &str, root: &str, body: Value) -> Value {
        let body = json!({ root: body }).to_string();
        self.call_as(ADMIN, "POST", path, Some(&body)).await.expect(201)[root].take()
    }

    /// A flavor of the provider, with a profile of its own.
    pub(crate) async fn flavor(&self, name: &str, provider: &str, data: Value, enabled: bool) {
        let profile = json!({ "name": name, "provider_name": provider, "flavor_data": data.to_string() });
        let profile = self.offer("flavorprofiles", "flavorprofile", profile).await;
        let flavor = json!({ "name": name, "enabled": enabled, "flavor_profile_id": profile["id"] });
        self.offer("flavors", "flavor", flavor).await;
    }

    pub(crate) async fn zone(&self, name: &str, data: Value, enabled: bool) {
        let profile =
            json!({ "name": name, "provider_name": "amphora", "availability_zone_data": data.to_string() });
        let profile = self.offer("availabilityzoneprofiles", "availability_zone_profile", profile).await;
        let zone = json!({
            "name": name, "enabled": enabled, "availability_zone_profile_id": profile["id"],
        });
        self.offer("availabilityzones", "availability_zone", zone).await;
    }

    /// Flavors and availability zones: ones to choose, and ones that are refused.
    pub(crate) async fn catalogue(&self) {
        for (name, provider, data, enabled) in [
            ("small", "amphora", json!({ "loadbalancer_topology": "SINGLE" }), true),
            ("alias", "octavia", json!({}), true),
            ("pair", "amphora", json!({ "loadbalancer_topology": "ACTIVE_STANDBY" }), true),
            ("off", "amphora", json!({}), false),
        ] {
            self.flavor(name, provider, data, enabled).await;
        }
        for (name, data, enabled) in [
            ("here", json!({ "valid_vip_networks": [NETWORK] }), true),
            ("elsewhere", json!({ "valid_vip_networks": [OTHER_NETWORK] }), true),
            ("computing", json!({ "compute_zone": "z" }), true),
            ("closed", json!({}), false),
        ] {
            self.zone(name, data, enabled).await;
        }
    }

    /// The ids of a flavor and of its profile.
    pub(crate) async fn flavor_ids(&self, name: &str) -> (String, String) {
        let list = self.call_as(ADMIN, "GET", &format!("flavors?name={name}"), None).await.expect(200);
        let flavor = &list["flavors"][0];
        let text = |key: &str| flavor[key].as_str().expect("an id").to_owned();
        (text("id"), text("flavor_profile_id"))
    }

    pub(crate) async fn zone_profile_id(&self, name: &str) -> String {
        let path = format!("availabilityzones/{name}");
        let zone = self.call_as(ADMIN, "GET", &path, None).await.expect(200);
        zone["availability_zone"]["availability_zone_profile_id"].as_str().expect("an id").to_owned()
    }

    /// What a worker would do when all is well: the present generation comes into force.
    pub(crate) async fn settle(&self, lb: LoadBalancerId) {
        let lease = self.lease(lb).await;
        let generation = self.generation(lb).await;
        self.store.lb_settle(&lease, generation, &Settlement::default()).await.expect("settled");
        self.release(&lease).await;
    }

    /// What a worker would do when it cannot get on.
    pub(crate) async fn fail(&self, lb: LoadBalancerId) {
        let lease = self.lease(lb).await;
        let generation = self.generation(lb).await;
        let reason = Reason::new(ReasonCode::CloudRefused, "The cloud said no.", "Ask it why.");
        self.store.lb_fail(&lease, generation, reason).await.expect("failed");
        self.release(&lease).await;
    }

    /// A row of an amphora, as a worker would have made it.
    pub(crate) async fn amphora(&self, lb: LoadBalancerId, status: AmphoraStatus) -> AmphoraId {
        let lease = self.lease(lb).await;
        let id = AmphoraId::new_v4();
        let row = Amphora::new(id, lb, AmphoraRole::Standalone, jiff::Timestamp::UNIX_EPOCH);
        self.store.amphora_insert(&lease, &Amphora { status, ..row }).await.expect("inserted");
        self.release(&lease).await;
        id
    }

    pub(crate) async fn lease(&self, lb: LoadBalancerId) -> Lease {
        let lease = self.store.lease_acquire(lb, WorkerId::new_v4(), Duration::from_secs(30)).await;
        lease.expect("asked").expect("free and due")
    }

    pub(crate) async fn release(&self, lease: &Lease) {
        let now = self.store.now().await.expect("a clock");
        let release = Release { next_attempt_at: now, attempts: 0, last_error: None };
        self.store.lease_release(lease, release).await.expect("released");
    }

    pub(crate) async fn generation(&self, lb: LoadBalancerId) -> u64 {
        self.store.lb_fetch(lb).await.expect("asked").expect("there").load_balancer.generation
    }
}

pub(crate) async fn reply(response: Response) -> Reply {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("not JSON: {bytes:?}"))
    };
    assert!(
        parts.headers.get("x-openstack-request-id").is_some_and(|id| id.as_bytes().starts_with(b"req-")),
        "every answer has a request id"
    );
    if parts.status == StatusCode::NO_CONTENT {
        assert!(bytes.is_empty());
    }
    Reply { status: parts.status.as_u16(), headers: parts.headers, body }
}

/// Lays the second object over the first; the text `#absent` removes a key.
pub(crate) fn merge(target: &mut Value, extra: &Value) {
    let (Some(target), Some(extra)) = (target.as_object_mut(), extra.as_object()) else { return };
    for (key, value) in extra {
        if value == "#absent" {
            target.remove(key);
        } else {
            target.insert(key.clone(), value.clone());
        }
    }
}
