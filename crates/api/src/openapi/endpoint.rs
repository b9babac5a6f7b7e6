//! What each endpoint is for: one row for each of `ENDPOINTS`.

use super::attribute::Resource;
use super::table::*;

#[derive(Debug)]
pub(super) struct Description {
    pub(super) method: &'static str,
    /// As in `ENDPOINTS`.
    pub(super) path: &'static str,
    /// `operationId`: the resource first.
    pub(super) id: &'static str,
    pub(super) resource: &'static Resource,
    pub(super) shape: Shape,
    /// Statuses that not every endpoint has, and when they are answered.
    pub(super) faults: &'static [&'static [(u16, &'static str)]],
}

/// What goes in and comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    List,
    Create,
    Show,
    Update,
    Delete,
    /// A whole tree comes back from the create of a load balancer.
    CreateTree,
    Cascade,
    StatusTree,
    Statistics,
    AmphoraStatistics,
    /// All members of a pool at once.
    Batch,
    /// Something is started: no body either way.
    Action,
    QuotaUpdate,
    QuotaDelete,
    QuotaDefaults,
}

type Faults = &'static [(u16, &'static str)];

const NOT_FOUND: Faults = &[(404, "There is no such object.")];
const NO_PARENT: Faults =
    &[(404, "The pool or L7 policy in the path is not there (alternate shape), or the object itself.")];
const NO_REFERRED: Faults = &[(404, "A load balancer, listener or pool that the body names is not there.")];
const STATE: Faults = &[(
    409,
    "Its load balancer is in a state in which nothing below it may be changed, or the new value is taken.",
)];
const ROOT_STATE: Faults = &[(409, "The load balancer is in a state in which this is refused.")];
const CLASH: Faults =
    &[(409, "The VIP's address or a listener's port is taken, or something is named twice.")];
const BUSY: Faults = &[(409, "Its load balancer is not ACTIVE.")];
const AMPHORA_STATE: Faults = &[(409, "The amphora is not in ERROR.")];
const TAKEN: Faults = &[(409, "The name is taken.")];
const IN_USE: Faults = &[(409, "It is in use.")];
const OPTION: Faults = &[(501, "The provider does not support what is asked for.")];

macro_rules! descriptions {
    ($($method:ident $path:literal $id:ident $resource:ident $shape:ident $($faults:ident)*;)+) => {
        pub(super) const DESCRIPTIONS: &[Description] = &[$(Description {
            method: stringify!($method),
            path: $path,
            id: stringify!($id),
            resource: &$resource,
            shape: Shape::$shape,
            faults: &[$($faults),*],
        }),+];
    };
}

descriptions! {
    GET    "loadbalancers"               load_balancer_list     LOAD_BALANCER List;
    POST   "loadbalancers"               load_balancer_create   LOAD_BALANCER CreateTree NO_REFERRED CLASH OPTION;
    GET    "loadbalancers/{id}"          load_balancer_show     LOAD_BALANCER Show NOT_FOUND;
    PUT    "loadbalancers/{id}"          load_balancer_update   LOAD_BALANCER Update NOT_FOUND ROOT_STATE OPTION;
    DELETE "loadbalancers/{id}"          load_balancer_delete   LOAD_BALANCER Cascade NOT_FOUND ROOT_STATE;
    GET    "loadbalancers/{id}/status"   load_balancer_status   LOAD_BALANCER StatusTree NOT_FOUND;
    GET    "loadbalancers/{id}/statuses" load_balancer_statuses LOAD_BALANCER StatusTree NOT_FOUND;
    GET    "loadbalancers/{id}/stats"    load_balancer_stats    LOAD_BALANCER Statistics NOT_FOUND;
    PUT    "loadbalancers/{id}/failover" load_balancer_failover LOAD_BALANCER Action NOT_FOUND ROOT_STATE;
    GET    "loadbalancers/{id}/operations" load_balancer_operations OPERATION List NOT_FOUND;

    GET    "listeners"            listener_list   LISTENER List;
    POST   "listeners"            listener_create LISTENER Create NO_REFERRED STATE OPTION;
    GET    "listeners/{id}"       listener_show   LISTENER Show NOT_FOUND;
    PUT    "listeners/{id}"       listener_update LISTENER Update NOT_FOUND STATE OPTION;
    DELETE "listeners/{id}"       listener_delete LISTENER Delete NOT_FOUND STATE;
    GET    "listeners/{id}/stats" listener_stats  LISTENER Statistics NOT_FOUND;

    GET    "pools"      pool_list   POOL List;
    POST   "pools"      pool_create POOL Create NO_REFERRED STATE OPTION;
    GET    "pools/{id}" pool_show   POOL Show NOT_FOUND;
    PUT    "pools/{id}" pool_update POOL Update NOT_FOUND STATE OPTION;
    DELETE "pools/{id}" pool_delete POOL Delete NOT_FOUND STATE;

    GET    "pools/{id}/members"          member_list   MEMBER List NO_PARENT;
    POST   "pools/{id}/members"          member_create MEMBER Create NO_PARENT STATE OPTION;
    PUT    "pools/{id}/members"          member_batch  MEMBER Batch NO_PARENT STATE OPTION;
    GET    "pools/{id}/members/{member}" member_show   MEMBER Show NO_PARENT;
    PUT    "pools/{id}/members/{member}" member_update MEMBER Update NO_PARENT STATE OPTION;
    DELETE "pools/{id}/members/{member}" member_delete MEMBER Delete NO_PARENT STATE;

    GET    "healthmonitors"      health_monitor_list   HEALTH_MONITOR List;
    POST   "healthmonitors"      health_monitor_create HEALTH_MONITOR Create NO_REFERRED STATE OPTION;
    GET    "healthmonitors/{id}" health_monitor_show   HEALTH_MONITOR Show NOT_FOUND;
    PUT    "healthmonitors/{id}" health_monitor_update HEALTH_MONITOR Update NOT_FOUND STATE OPTION;
    DELETE "healthmonitors/{id}" health_monitor_delete HEALTH_MONITOR Delete NOT_FOUND STATE;

    GET    "l7policies"                   l7policy_list   L7_POLICY List;
    POST   "l7policies"                   l7policy_create L7_POLICY Create NO_REFERRED STATE OPTION;
    GET    "l7policies/{id}"              l7policy_show   L7_POLICY Show NOT_FOUND;
    PUT    "l7policies/{id}"              l7policy_update L7_POLICY Update NOT_FOUND STATE OPTION;
    DELETE "l7policies/{id}"              l7policy_delete L7_POLICY Delete NOT_FOUND STATE;
    GET    "l7policies/{id}/rules"        l7rule_list     L7_RULE List NO_PARENT;
    POST   "l7policies/{id}/rules"        l7rule_create   L7_RULE Create NO_PARENT STATE OPTION;
    GET    "l7policies/{id}/rules/{rule}" l7rule_show     L7_RULE Show NO_PARENT;
    PUT    "l7policies/{id}/rules/{rule}" l7rule_update   L7_RULE Update NO_PARENT STATE OPTION;
    DELETE "l7policies/{id}/rules/{rule}" l7rule_delete   L7_RULE Delete NO_PARENT STATE;

    GET    "quotas"                      quota_list     QUOTA List;
    GET    "quotas/{project_id}"         quota_show     QUOTA Show;
    PUT    "quotas/{project_id}"         quota_update   QUOTA QuotaUpdate;
    DELETE "quotas/{project_id}"         quota_delete   QUOTA QuotaDelete NOT_FOUND;
    GET    "quotas/{project_id}/default" quota_defaults QUOTA QuotaDefaults;

    GET    "providers"                            provider_list          PROVIDER List;
    GET    "providers/{name}/flavor_capabilities" flavor_capability_list FLAVOR_CAPABILITY List;
    GET    "providers/{name}/availability_zone_capabilities"
        availability_zone_capability_list AVAILABILITY_ZONE_CAPABILITY List;

    GET    "flavors"      flavor_list   FLAVOR List;
    POST   "flavors"      flavor_create FLAVOR Create TAKEN;
    GET    "flavors/{id}" flavor_show   FLAVOR Show NOT_FOUND;
    PUT    "flavors/{id}" flavor_update FLAVOR Update NOT_FOUND TAKEN;
    DELETE "flavors/{id}" flavor_delete FLAVOR Delete NOT_FOUND IN_USE;

    GET    "flavorprofiles"      flavor_profile_list   FLAVOR_PROFILE List;
    POST   "flavorprofiles"      flavor_profile_create FLAVOR_PROFILE Create OPTION;
    GET    "flavorprofiles/{id}" flavor_profile_show   FLAVOR_PROFILE Show NOT_FOUND;
    PUT    "flavorprofiles/{id}" flavor_profile_update FLAVOR_PROFILE Update NOT_FOUND IN_USE OPTION;
    DELETE "flavorprofiles/{id}" flavor_profile_delete FLAVOR_PROFILE Delete NOT_FOUND IN_USE;

    GET    "availabilityzones"        availability_zone_list   AVAILABILITY_ZONE List;
    POST   "availabilityzones"        availability_zone_create AVAILABILITY_ZONE Create TAKEN;
    GET    "availabilityzones/{name}" availability_zone_show   AVAILABILITY_ZONE Show NOT_FOUND;
    PUT    "availabilityzones/{name}" availability_zone_update AVAILABILITY_ZONE Update NOT_FOUND;
    DELETE "availabilityzones/{name}" availability_zone_delete AVAILABILITY_ZONE Delete NOT_FOUND IN_USE;

    GET    "availabilityzoneprofiles" availability_zone_profile_list AVAILABILITY_ZONE_PROFILE List;
    POST   "availabilityzoneprofiles" availability_zone_profile_create AVAILABILITY_ZONE_PROFILE Create OPTION;
    GET    "availabilityzoneprofiles/{id}" availability_zone_profile_show AVAILABILITY_ZONE_PROFILE Show NOT_FOUND;
    PUT    "availabilityzoneprofiles/{id}"
        availability_zone_profile_update AVAILABILITY_ZONE_PROFILE Update NOT_FOUND IN_USE OPTION;
    DELETE "availabilityzoneprofiles/{id}"
        availability_zone_profile_delete AVAILABILITY_ZONE_PROFILE Delete NOT_FOUND IN_USE;

    GET    "amphorae"               amphora_list     AMPHORA List;
    GET    "amphorae/{id}"          amphora_show     AMPHORA Show NOT_FOUND;
    DELETE "amphorae/{id}"          amphora_delete   AMPHORA Delete NOT_FOUND AMPHORA_STATE;
    GET    "amphorae/{id}/stats"    amphora_stats    AMPHORA AmphoraStatistics NOT_FOUND;
    PUT    "amphorae/{id}/config"   amphora_config   AMPHORA Action NOT_FOUND;
    PUT    "amphorae/{id}/failover" amphora_failover AMPHORA Action NOT_FOUND BUSY;
}

impl Description {
    /// The path below the API's root, with its version and prefix.
    pub(super) fn full_path(&self) -> String {
        let prefix = if self.path.starts_with("amphorae") { "octavia" } else { "lbaas" };
        format!("/v2/{prefix}/{}", self.path)
    }

    /// What the caller needs to be allowed, without the prefix `os_load-balancer_api:`.
    pub(super) fn policy(&self) -> &'static str {
        let endpoint = crate::ENDPOINTS
            .iter()
            .find(|endpoint| endpoint.method == self.method && endpoint.path == self.path);
        endpoint.map_or("", |endpoint| endpoint.policy)
    }

    pub(super) fn summary(&self) -> String {
        let (noun, plural) = (self.resource.noun, self.resource.plural);
        let article =
            if noun.starts_with(['a', 'e', 'i', 'o', 'L']) && noun != "load balancer" { "an" } else { "a" };
        match self.shape {
            Shape::List => format!("List {plural}"),
            Shape::Create | Shape::CreateTree => format!("Create {article} {noun}"),
            Shape::Show => format!("Show {article} {noun}"),
            Shape::Update | Shape::QuotaUpdate => format!("Update {article} {noun}"),
            Shape::Delete | Shape::Cascade => format!("Delete {article} {noun}"),
            Shape::StatusTree => "Show the statuses of a load balancer and of what is below it".to_owned(),
            Shape::Statistics | Shape::AmphoraStatistics => {
                format!("Show the statistics of {article} {noun}")
            }
            Shape::Batch => "Replace the members of a pool".to_owned(),
            Shape::Action if self.path.ends_with("config") => {
                "Push an amphora its configuration again".to_owned()
            }
            Shape::Action => format!("Replace the amphorae behind {article} {noun}"),
            Shape::QuotaDelete => "Go back to the configured limits".to_owned(),
            Shape::QuotaDefaults => "Show the configured limits".to_owned(),
        }
    }

    /// The status of success.
    pub(super) const fn success(&self) -> u16 {
        match self.shape {
            Shape::Create | Shape::CreateTree => 201,
            Shape::Delete | Shape::Cascade => 204,
            Shape::Batch | Shape::Action | Shape::QuotaUpdate | Shape::QuotaDelete => 202,
            _ => 200,
        }
    }

    /// Whether the path leads on below a parent, whose absence is told in the alternate shape.
    pub(super) fn is_below_parent(&self) -> bool {
        ["/members", "/rules"].iter().any(|part| self.path.contains(part))
    }

    /// Whether `fields` chooses what the answer has.
    pub(super) fn has_fields(&self) -> bool {
        matches!(self.shape, Shape::List | Shape::Show) && self.resource.schema != "Quota"
    }

    /// Every status it can fail with, and when. Those that all have come from `common`.
    pub(super) fn all_faults(&self) -> Vec<(u16, &'static str)> {
        let mut faults: Vec<(u16, &'static str)> = COMMON.to_vec();
        if matches!(self.method, "POST" | "PUT") {
            faults.push(UNKNOWN_TYPE);
        }
        faults.extend(self.faults.iter().copied().flatten().copied());
        if self.method == "POST" {
            let known: Vec<u16> = faults.iter().map(|(status, _)| *status).collect();
            faults.extend(KEYED.iter().filter(|(status, _)| !known.contains(status)));
        }
        faults.sort_unstable_by_key(|(status, _)| *status);
        faults
    }
}

/// What a POST with an `Idempotency-Key` can fail with.
const KEYED: Faults = &[
    (404, "What the first request with this `Idempotency-Key` made is gone."),
    (409, "The first request with this `Idempotency-Key` is under way."),
    (422, "This `Idempotency-Key` was used for another request."),
];

/// What every endpoint can fail with.
pub(super) const COMMON: &[(u16, &str)] = &[
    (400, "The query or the body is not as it has to be."),
    (401, "The token is missing or not valid."),
    (403, "The policy does not allow it, or the project's quota has been met."),
    (406, "`Accept` does not allow JSON."),
    (408, "The body did not arrive in time."),
    (413, "The body is too large."),
    (500, "A defect; the log of the service has more under the request id."),
    (503, "The database or another service that is needed is busy or away; try again later."),
];

pub(super) const UNKNOWN_TYPE: (u16, &str) = (415, "The body does not say that it is JSON.");
