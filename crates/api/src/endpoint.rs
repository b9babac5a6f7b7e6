//! Every endpoint as a row of one table, and the way from a method and path to its row.
//!
//! Not axum's router: the original's path rules (optional `lbaas`, trailing slashes, `.json`, ignored extra segments,
//! its own texts for a missing id) are easier said as one pure function, and tests walk the same table.

use http::Method;

use crate::fault::Fault;

/// One method on one path below `/v2` (where `lbaas/` may stand before it, or `octavia/` for amphorae).
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    pub method: &'static str,
    /// Segments in braces are parameters.
    pub path: &'static str,
    /// Name of the policy it is checked against, without the prefix `os_load-balancer_api:`.
    pub policy: &'static str,
    pub(crate) operation: Operation,
}

/// What an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    LoadBalancerList,
    LoadBalancerCreate,
    LoadBalancerShow,
    LoadBalancerUpdate,
    LoadBalancerDelete,
    LoadBalancerStatus,
    LoadBalancerStats,
    LoadBalancerFailover,
    ListenerList,
    ListenerCreate,
    ListenerShow,
    ListenerUpdate,
    ListenerDelete,
    ListenerStats,
    PoolList,
    PoolCreate,
    PoolShow,
    PoolUpdate,
    PoolDelete,
    MemberList,
    MemberCreate,
    MemberBatch,
    MemberShow,
    MemberUpdate,
    MemberDelete,
    HealthMonitorList,
    HealthMonitorCreate,
    HealthMonitorShow,
    HealthMonitorUpdate,
    HealthMonitorDelete,
    L7PolicyList,
    L7PolicyCreate,
    L7PolicyShow,
    L7PolicyUpdate,
    L7PolicyDelete,
    L7RuleList,
    L7RuleCreate,
    L7RuleShow,
    L7RuleUpdate,
    L7RuleDelete,
    LoadBalancerOperations,
    AmphoraList,
    AmphoraShow,
    AmphoraDelete,
    AmphoraStats,
    AmphoraConfigure,
    AmphoraFailover,
    QuotaList,
    QuotaShow,
    QuotaUpdate,
    QuotaDelete,
    QuotaDefaults,
    ProviderList,
    FlavorCapabilityList,
    AvailabilityZoneCapabilityList,
    FlavorList,
    FlavorCreate,
    FlavorShow,
    FlavorUpdate,
    FlavorDelete,
    FlavorProfileList,
    FlavorProfileCreate,
    FlavorProfileShow,
    FlavorProfileUpdate,
    FlavorProfileDelete,
    AvailabilityZoneList,
    AvailabilityZoneCreate,
    AvailabilityZoneShow,
    AvailabilityZoneUpdate,
    AvailabilityZoneDelete,
    AvailabilityZoneProfileList,
    AvailabilityZoneProfileCreate,
    AvailabilityZoneProfileShow,
    AvailabilityZoneProfileUpdate,
    AvailabilityZoneProfileDelete,
}

use Operation as Op;

macro_rules! endpoints {
    ($($method:ident $path:literal $policy:literal $operation:expr;)+) => {
        /// Every endpoint of the API, in the order of `reference/api.md` §12; what is ours alone follows its resource.
        pub const ENDPOINTS: &[Endpoint] = &[
            $(Endpoint { method: stringify!($method), path: $path, policy: $policy, operation: $operation }),+
        ];
    };
}

endpoints! {
    GET    "loadbalancers"                "loadbalancer:get_all"       Op::LoadBalancerList;
    POST   "loadbalancers"                "loadbalancer:post"          Op::LoadBalancerCreate;
    GET    "loadbalancers/{id}"           "loadbalancer:get_one"       Op::LoadBalancerShow;
    PUT    "loadbalancers/{id}"           "loadbalancer:put"           Op::LoadBalancerUpdate;
    DELETE "loadbalancers/{id}"           "loadbalancer:delete"        Op::LoadBalancerDelete;
    GET    "loadbalancers/{id}/status"    "loadbalancer:get_status"    Op::LoadBalancerStatus;
    GET    "loadbalancers/{id}/statuses"  "loadbalancer:get_status"    Op::LoadBalancerStatus;
    GET    "loadbalancers/{id}/stats"     "loadbalancer:get_stats"     Op::LoadBalancerStats;
    PUT    "loadbalancers/{id}/failover"  "loadbalancer:put_failover"  Op::LoadBalancerFailover;
    GET    "loadbalancers/{id}/operations" "loadbalancer:get_operations" Op::LoadBalancerOperations;

    GET    "listeners"                    "listener:get_all"           Op::ListenerList;
    POST   "listeners"                    "listener:post"              Op::ListenerCreate;
    GET    "listeners/{id}"               "listener:get_one"           Op::ListenerShow;
    PUT    "listeners/{id}"               "listener:put"               Op::ListenerUpdate;
    DELETE "listeners/{id}"               "listener:delete"            Op::ListenerDelete;
    GET    "listeners/{id}/stats"         "listener:get_stats"         Op::ListenerStats;

    GET    "pools"                        "pool:get_all"               Op::PoolList;
    POST   "pools"                        "pool:post"                  Op::PoolCreate;
    GET    "pools/{id}"                   "pool:get_one"               Op::PoolShow;
    PUT    "pools/{id}"                   "pool:put"                   Op::PoolUpdate;
    DELETE "pools/{id}"                   "pool:delete"                Op::PoolDelete;

    GET    "pools/{id}/members"           "member:get_all"             Op::MemberList;
    POST   "pools/{id}/members"           "member:post"                Op::MemberCreate;
    PUT    "pools/{id}/members"           "member:put"                 Op::MemberBatch;
    GET    "pools/{id}/members/{member}"    "member:get_one"           Op::MemberShow;
    PUT    "pools/{id}/members/{member}"    "member:put"               Op::MemberUpdate;
    DELETE "pools/{id}/members/{member}"    "member:delete"            Op::MemberDelete;

    GET    "healthmonitors"               "healthmonitor:get_all"      Op::HealthMonitorList;
    POST   "healthmonitors"               "healthmonitor:post"         Op::HealthMonitorCreate;
    GET    "healthmonitors/{id}"          "healthmonitor:get_one"      Op::HealthMonitorShow;
    PUT    "healthmonitors/{id}"          "healthmonitor:put"          Op::HealthMonitorUpdate;
    DELETE "healthmonitors/{id}"          "healthmonitor:delete"       Op::HealthMonitorDelete;

    GET    "l7policies"                   "l7policy:get_all"           Op::L7PolicyList;
    POST   "l7policies"                   "l7policy:post"              Op::L7PolicyCreate;
    GET    "l7policies/{id}"              "l7policy:get_one"           Op::L7PolicyShow;
    PUT    "l7policies/{id}"              "l7policy:put"               Op::L7PolicyUpdate;
    DELETE "l7policies/{id}"              "l7policy:delete"            Op::L7PolicyDelete;
    GET    "l7policies/{id}/rules"        "l7rule:get_all"             Op::L7RuleList;
    POST   "l7policies/{id}/rules"        "l7rule:post"                Op::L7RuleCreate;
    GET    "l7policies/{id}/rules/{rule}"    "l7rule:get_one"          Op::L7RuleShow;
    PUT    "l7policies/{id}/rules/{rule}"    "l7rule:put"              Op::L7RuleUpdate;
    DELETE "l7policies/{id}/rules/{rule}"    "l7rule:delete"           Op::L7RuleDelete;

    GET    "quotas"                       "quota:get_all"              Op::QuotaList;
    GET    "quotas/{project_id}"          "quota:get_one"              Op::QuotaShow;
    PUT    "quotas/{project_id}"          "quota:put"                  Op::QuotaUpdate;
    DELETE "quotas/{project_id}"          "quota:delete"               Op::QuotaDelete;
    GET    "quotas/{project_id}/default"  "quota:get_defaults"         Op::QuotaDefaults;

    GET    "providers"                    "provider:get_all"           Op::ProviderList;
    GET    "providers/{name}/flavor_capabilities"
        "provider-flavor:get_all" Op::FlavorCapabilityList;
    GET    "providers/{name}/availability_zone_capabilities"
        "provider-availability-zone:get_all" Op::AvailabilityZoneCapabilityList;

    GET    "flavors"                      "flavor:get_all"             Op::FlavorList;
    POST   "flavors"                      "flavor:post"                Op::FlavorCreate;
    GET    "flavors/{id}"                 "flavor:get_one"             Op::FlavorShow;
    PUT    "flavors/{id}"                 "flavor:put"                 Op::FlavorUpdate;
    DELETE "flavors/{id}"                 "flavor:delete"              Op::FlavorDelete;

    GET    "flavorprofiles"               "flavor-profile:get_all"     Op::FlavorProfileList;
    POST   "flavorprofiles"               "flavor-profile:post"        Op::FlavorProfileCreate;
    GET    "flavorprofiles/{id}"          "flavor-profile:get_one"     Op::FlavorProfileShow;
    PUT    "flavorprofiles/{id}"          "flavor-profile:put"         Op::FlavorProfileUpdate;
    DELETE "flavorprofiles/{id}"          "flavor-profile:delete"      Op::FlavorProfileDelete;

    GET    "availabilityzones"            "availability-zone:get_all"  Op::AvailabilityZoneList;
    POST   "availabilityzones"            "availability-zone:post"     Op::AvailabilityZoneCreate;
    GET    "availabilityzones/{name}"     "availability-zone:get_one"  Op::AvailabilityZoneShow;
    PUT    "availabilityzones/{name}"     "availability-zone:put"      Op::AvailabilityZoneUpdate;
    DELETE "availabilityzones/{name}"     "availability-zone:delete"   Op::AvailabilityZoneDelete;

    GET    "availabilityzoneprofiles"     "availability-zone-profile:get_all" Op::AvailabilityZoneProfileList;
    POST   "availabilityzoneprofiles"     "availability-zone-profile:post" Op::AvailabilityZoneProfileCreate;
    GET    "availabilityzoneprofiles/{id}""availability-zone-profile:get_one" Op::AvailabilityZoneProfileShow;
    PUT    "availabilityzoneprofiles/{id}""availability-zone-profile:put" Op::AvailabilityZoneProfileUpdate;
    DELETE "availabilityzoneprofiles/{id}""availability-zone-profile:delete" Op::AvailabilityZoneProfileDelete;

    GET    "amphorae"                     "amphora:get_all"            Op::AmphoraList;
    GET    "amphorae/{id}"                "amphora:get_one"            Op::AmphoraShow;
    DELETE "amphorae/{id}"                "amphora:delete"             Op::AmphoraDelete;
    GET    "amphorae/{id}/stats"          "amphora:get_stats"          Op::AmphoraStats;
    PUT    "amphorae/{id}/config"         "amphora:put_config"         Op::AmphoraConfigure;
    PUT    "amphorae/{id}/failover"       "amphora:put_failover"       Op::AmphoraFailover;
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) enum Target {
    /// The version document; needs no token.
    Versions,
    /// `/v2` and the like, which answer with their name.
    Root,
    Endpoint(&'static Endpoint, Vec<String>),
}

/// Where catalogs commonly point to; answered beside the plain paths.
const MOUNT: &str = "/load-balancer";

/// The path as the API knows it, wherever it is mounted.
pub(crate) fn below_mount(path: &str) -> &str {
    match path.strip_prefix(MOUNT) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    }
}

/// The version document is the one thing that is shown without a token.
pub(crate) fn is_public(path: &str) -> bool {
    path.bytes().all(|byte| byte == b'/')
}

/// Finds the endpoint of a method and path; parameters come out percent-decoded. HEAD is asked for as GET.
pub(crate) fn resolve(method: &Method, path: &str) -> Result<Target, Fault> {
    if is_public(path) {
        return Ok(Target::Versions);
    }
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".json").unwrap_or(path);
    let mut segments: Vec<String> = path.split('/').skip(1).map(decode).collect();
    if segments.is_empty() || !matches!(segments.remove(0).as_str(), "v2" | "v2.0") {
        return Err(Fault::UnknownPath);
    }
    let prefix = segments.first().map(String::as_str);
    let amphorae = prefix == Some("octavia");
    if amphorae || prefix == Some("lbaas") {
        segments.remove(0);
    }
    let Some(collection) = segments.first() else {
        return if method == Method::GET {
            Ok(Target::Root)
        } else {
            Err(Fault::MethodNotAllowed { allow: "GET, HEAD".to_owned() })
        };
    };
    if (collection == "amphorae") != amphorae {
        return Err(Fault::UnknownPath);
    }
    find(method, &segments)
}

fn find(method: &Method, segments: &[String]) -> Result<Target, Fault> {
    let mut allowed = vec![];
    for endpoint in ENDPOINTS {
        if segments.len() == endpoint.path.split('/').count()
            && let Some(parameters) = parameters(endpoint, segments)
        {
            if endpoint.method == method.as_str() {
                return Ok(Target::Endpoint(endpoint, parameters));
            }
            allowed.push(endpoint.method);
            if endpoint.method == "GET" {
                allowed.push("HEAD");
            }
        }
    }
    if !allowed.is_empty() {
        return Err(match missing_id(method, segments) {
            Some(argument) => Fault::MissingArgument(argument),
            None => Fault::MethodNotAllowed { allow: allowed.join(", ") },
        });
    }
    if method == Method::GET
        && let Some(target) = with_extra_segments(segments)
    {
        return Ok(target);
    }
    match segments {
        [collection, _] if collection == "providers" => Err(Fault::MethodNotAllowed { allow: String::new() }),
        _ => Err(Fault::UnknownPath),
    }
}

/// A GET of an item ignores what follows the id; the longest path wins.
fn with_extra_segments(segments: &[String]) -> Option<Target> {
    ENDPOINTS
        .iter()
        .filter(|endpoint| endpoint.method == "GET" && endpoint.path.ends_with('}'))
        .filter_map(|endpoint| parameters(endpoint, segments).map(|found| (endpoint, found)))
        .max_by_key(|(endpoint, _)| endpoint.path.split('/').count())
        .map(|(endpoint, parameters)| Target::Endpoint(endpoint, parameters))
}

/// Whether the method exists on an item of this collection, so that only the id is missing, and its name.
fn missing_id(method: &Method, segments: &[String]) -> Option<&'static str> {
    let mut probe = segments.to_vec();
    probe.push(String::new());
    ENDPOINTS
        .iter()
        .filter(|endpoint| endpoint.method == method.as_str() && endpoint.path.ends_with('}'))
        .filter(|endpoint| endpoint.path.split('/').count() == probe.len())
        .find(|endpoint| parameters(endpoint, &probe).is_some())
        .map(|endpoint| if endpoint.path.ends_with("{project_id}") { "project_id" } else { "id" })
}

/// The path's parameters if it begins as the endpoint's does.
fn parameters(endpoint: &Endpoint, segments: &[String]) -> Option<Vec<String>> {
    let mut parameters = vec![];
    let mut segments = segments.iter();
    for part in endpoint.path.split('/') {
        let segment = segments.next()?;
        if part.starts_with('{') {
            parameters.push(segment.clone());
        } else if part != segment {
            return None;
        }
    }
    Some(parameters)
}

/// Percent-decoding; what is not UTF-8 becomes text that is the id of nothing.
fn decode(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        let hex = bytes.get(index + 1..index + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) if *byte == b'%' => {
                out.push(decoded);
                index += 3;
            }
            _ => {
                out.push(*byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(request: &str) -> String {
        let (method, path) = request.split_once(' ').expect("method and path");
        match resolve(&method.parse().expect("a method"), below_mount(path)) {
            Ok(Target::Versions) => "versions".to_owned(),
            Ok(Target::Root) => "root".to_owned(),
            Ok(Target::Endpoint(endpoint, parameters)) => {
                format!("{:?} {}", endpoint.operation, parameters.join(" ")).trim().to_owned()
            }
            Err(fault) => format!("{} {fault}", fault.status().as_u16()).trim().to_owned(),
        }
    }

    #[test]
    fn paths() {
        for (request, expected) in [
            ("GET /", "versions"),
            ("GET //", "versions"),
            ("GET /load-balancer", "versions"),
            ("GET /load-balancer/", "versions"),
            ("GET /load-balancer/v2/lbaas/pools", "PoolList"),
            ("GET /load-balancers", "404"),
            ("GET /v2", "root"),
            ("GET /v2.0/", "root"),
            ("GET /v2/lbaas/", "root"),
            ("GET /v2/octavia", "root"),
            ("POST /v2", "405"),
            ("GET /v1", "404"),
            ("GET /v3/lbaas/loadbalancers", "404"),
            ("GET /v2/lbaas/nothing", "404"),
            ("GET /v2/lbaas/lbaas/loadbalancers", "404"),
            ("GET /v2//loadbalancers", "404"),
            ("GET /v2/lbaas/loadbalancers", "LoadBalancerList"),
            ("GET /v2.0/lbaas/loadbalancers/", "LoadBalancerList"),
            ("GET /v2/loadbalancers.json", "LoadBalancerList"),
            ("GET /v2/loadbalancers/a", "LoadBalancerShow a"),
            ("GET /v2/loadbalancers/a.json", "LoadBalancerShow a"),
            ("GET /v2/loadbalancers/a/foo", "LoadBalancerShow a"),
            ("PUT /v2/loadbalancers/a/foo", "404"),
            ("GET /v2/loadbalancers/a%2Fb%zz", "LoadBalancerShow a/b%zz"),
            ("GET /v2/loadbalancers/a/statuses", "LoadBalancerStatus a"),
            ("PUT /v2/loadbalancers/a/failover", "LoadBalancerFailover a"),
            ("GET /v2/lbaas/loadbalancers/a/operations", "LoadBalancerOperations a"),
            ("PUT /v2/octavia/amphorae/a/config", "AmphoraConfigure a"),
            ("PUT /v2/loadbalancers", "400 Missing argument: \"id\""),
            ("DELETE /v2/pools/a/members", "400 Missing argument: \"id\""),
            ("DELETE /v2/quotas", "400 Missing argument: \"project_id\""),
            ("PATCH /v2/loadbalancers/a", "405"),
            ("POST /v2/loadbalancers/a", "405"),
            ("POST /v2/quotas", "405"),
            ("PUT /v2/pools/p/members/", "MemberBatch p"),
            ("GET /v2/pools/p/members/m", "MemberShow p m"),
            ("GET /v2/pools/p/members/m/x/y", "MemberShow p m"),
            ("GET /v2/pools/p/x", "PoolShow p"),
            ("GET /v2/l7policies/p/x", "L7PolicyShow p"),
            ("POST /v2/l7policies/p/rules", "L7RuleCreate p"),
            ("GET /v2.0/lbaas/l7policies/p/rules/r/x", "L7RuleShow p r"),
            ("PUT /v2/l7policies/p/rules", "400 Missing argument: \"id\""),
            ("GET /v2/octavia/amphorae", "AmphoraList"),
            ("GET /v2/lbaas/amphorae", "404"),
            ("GET /v2/amphorae", "404"),
            ("GET /v2/octavia/loadbalancers", "404"),
            ("POST /v2/octavia/amphorae/a", "405"),
            ("GET /v2/providers/amphora", "405"),
            ("GET /v2.0/quotas/p", "QuotaShow p"),
            ("GET /v2/lbaas/quotas/defaults", "QuotaShow defaults"),
            ("GET /v2/lbaas/quotas/p/default/", "QuotaDefaults p"),
        ] {
            assert_eq!(check(request), expected, "{request}");
        }
    }

    #[test]
    fn no_endpoint_hides_another() {
        for endpoint in ENDPOINTS {
            let prefix = if endpoint.path.starts_with("amphorae") { "octavia" } else { "lbaas" };
            let path = endpoint.path.replace(['{', '}'], "");
            let method = endpoint.method.parse().expect("a method");
            match resolve(&method, &format!("/v2/{prefix}/{path}")) {
                Ok(Target::Endpoint(found, _)) => assert_eq!(found.path, endpoint.path),
                other => panic!("{} {}: {other:?}", endpoint.method, endpoint.path),
            }
        }
        assert_eq!(
            ENDPOINTS.len(),
            76,
            "79 of the reference, less `/`, the two of healthcheck and `/v2`, and the list of operations"
        );
    }
}
