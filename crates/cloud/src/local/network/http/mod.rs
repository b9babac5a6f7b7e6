//! Neutron v2.0 over HTTP: the networks and subnets there are, and ports for who brings a port for a VIP.

mod qos;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use octavia_model::{PortId, ProjectId};
use serde_json::{Value, json};

use super::page::{Page, page};
use super::{BookError, Change, LocalNetwork, Port, request, view};
use crate::local::NETWORK_PATH;
use crate::local::http::{Call, empty, json as answer};
use crate::local::identity::LocalIdentity;
use crate::local::list::shown;
use crate::{CloudError, Identity, RequestContext};

/// Collections that are always empty here, and how their entries are called.
const EMPTY: &[(&str, &str)] = &[
    ("agents", "agent"),
    ("availability_zones", "availability_zone"),
    ("address-groups", "address_group"),
    ("floatingips", "floatingip"),
    ("routers", "router"),
    ("subnetpools", "subnetpool"),
    ("trunks", "trunk"),
];
const QUOTAS: &[&str] = &[
    "floatingip",
    "network",
    "port",
    "rbac_policy",
    "router",
    "security_group",
    "security_group_rule",
    "subnet",
    "subnetpool",
    "trunk",
];

pub(in crate::local) fn router(network: Arc<LocalNetwork>, identity: Arc<LocalIdentity>) -> Router {
    Router::new().fallback(move |request: Request| {
        let (network, identity) = (Arc::clone(&network), Arc::clone(&identity));
        async move {
            let Some(call) = Call::read(request).await else {
                return Refusal::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "HTTPRequestEntityTooLarge",
                    "The body is too large.",
                )
                .respond();
            };
            let neutron = Neutron { network: &network, identity: &identity, call: &call };
            neutron.dispatch().await.unwrap_or_else(|refusal| refusal.respond())
        }
    })
}

#[derive(Debug)]
enum Refusal {
    /// No good token: the shape is that of the middleware in front of Neutron.
    Unauthenticated {
        auth_uri: String,
    },
    Fault {
        status: StatusCode,
        kind: &'static str,
        message: String,
    },
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self::Fault { status, kind, message: message.into() }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "HTTPBadRequest", message)
    }

    fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "PolicyNotAuthorized", "Your roles do not allow this.")
    }

    fn not_found(kind: &'static str, what: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, kind, format!("{what} {id} could not be found."))
    }

    fn respond(self) -> Response {
        match self {
            Self::Unauthenticated { auth_uri } => {
                let error = json!({
                    "code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication.",
                });
                let mut response = answer(StatusCode::UNAUTHORIZED, &json!({"error": error}));
                if let Ok(value) = HeaderValue::try_from(format!("Keystone uri=\"{auth_uri}\"")) {
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
                }
                response
            }
            Self::Fault { status, kind, message } => {
                answer(status, &json!({"NeutronError": {"type": kind, "message": message, "detail": ""}}))
            }
        }
    }
}

impl From<BookError> for Refusal {
    fn from(error: BookError) -> Self {
        let (status, kind) = match &error {
            BookError::NetworkUnknown(_) => (StatusCode::NOT_FOUND, "NetworkNotFound"),
            BookError::PortUnknown(_) => (StatusCode::NOT_FOUND, "PortNotFound"),
            BookError::SubnetUnknown(..)
            | BookError::AddressOutside { .. }
            | BookError::AddressElsewhere(..)
            | BookError::AddressesUnfit => (StatusCode::BAD_REQUEST, "InvalidIpForNetwork"),
            BookError::PolicyUnknown(_) => (StatusCode::NOT_FOUND, "QosPolicyNotFound"),
            BookError::PolicyInUse(..) => (StatusCode::CONFLICT, "QosPolicyInUse"),
            BookError::NetworkWithoutPorts(_) | BookError::RuleUnfit(_) => {
                (StatusCode::BAD_REQUEST, "HTTPBadRequest")
            }
            BookError::AddressInUse(_) => (StatusCode::CONFLICT, "IpAddressAlreadyAllocated"),
            BookError::Exhausted(_) => (StatusCode::CONFLICT, "IpAddressGenerationFailure"),
            BookError::PortInUse(..) | BookError::PortElsewhere(_) => (StatusCode::CONFLICT, "PortInUse"),
        };
        Self::new(status, kind, error.to_string())
    }
}

impl From<CloudError> for Refusal {
    fn from(error: CloudError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "HTTPServiceUnavailable", error.message)
    }
}

struct Neutron<'a> {
    network: &'a LocalNetwork,
    identity: &'a LocalIdentity,
    call: &'a Call,
}

/// Who asks, with a project.
struct Caller {
    project: ProjectId,
    admin: bool,
    member: bool,
}

impl Caller {
    fn sees(&self, port: &Port) -> bool {
        self.owns(&port.project_id)
    }

    /// Whether what belongs to the project is this caller's business.
    fn owns(&self, project: &str) -> bool {
        self.admin || project == self.project.as_str()
    }
}

impl Neutron<'_> {
    async fn dispatch(&self) -> Result<Response, Refusal> {
        let path = self.call.path();
        let path: Vec<&str> = path.iter().map(|part| part.strip_suffix(".json").unwrap_or(part)).collect();
        let read = self.call.method == Method::GET || self.call.method == Method::HEAD;
        match path.as_slice() {
            [] if read => return Ok(answer(StatusCode::OK, &json!({"versions": [self.version()]}))),
            // As upstream: versions are told without a token, what is in one is not.
            ["v2.0", ..] => {}
            _ => {
                return Err(Refusal::new(
                    StatusCode::NOT_FOUND,
                    "HTTPNotFound",
                    "The resource could not be found.",
                ));
            }
        }
        let caller = self.caller().await?;
        match (&self.call.method, &path[1..]) {
            (_, path) if read => self.show(path, &caller).map(|document| answer(StatusCode::OK, &document)),
            (&Method::POST, ["ports"]) => self.port_create(caller).await,
            (&Method::PUT, ["ports", id]) => self.port_update(id, caller).await,
            (&Method::DELETE, ["ports", id]) => self.port_delete(id, caller).await,
            (_, ["qos", rest @ ..]) if self.network.has_ports() => self.qos_change(rest, caller).await,
            _ => Err(Refusal::new(
                StatusCode::NOT_IMPLEMENTED,
                "HTTPNotImplemented",
                "The embedded network service has two networks for ever; only ports (and QoS policies, where ports have \
                 interfaces) can be made and deleted. Security groups are made by load balancers alone.",
            )),
        }
    }

    async fn caller(&self) -> Result<Caller, Refusal> {
        let token = self.call.header("x-auth-token").unwrap_or_default();
        let RequestContext { project_id, roles, .. } = self
            .identity
            .verify(token)
            .await
            .map_err(|_| Refusal::Unauthenticated { auth_uri: self.identity.auth_uri().to_owned() })?;
        let has = |wanted: &str| roles.iter().any(|role| role == wanted);
        Ok(Caller {
            project: project_id.ok_or_else(Refusal::forbidden)?,
            admin: has("admin"),
            member: has("member"),
        })
    }

    fn root(&self) -> String {
        let own = self.identity.auth_uri();
        let own = own.strip_suffix(crate::local::IDENTITY_PATH).unwrap_or(own);
        format!("{}{NETWORK_PATH}", self.call.base(own))
    }

    fn version(&self) -> Value {
        json!({"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": format!("{}/v2.0/", self.root())}]})
    }

    // ---- reading

    fn show(&self, path: &[&str], caller: &Caller) -> Result<Value, Refusal> {
        let owner = self.identity.owner();
        let networks =
            || self.network.look(|book| book.nets().iter().map(|net| view::network(net, owner)).collect());
        let subnets = || {
            self.network.look(|book| {
                book.nets()
                    .iter()
                    .flat_map(|net| net.subnets.iter().map(|subnet| view::subnet(net, subnet, owner)))
                    .collect()
            })
        };
        match path {
            [] => Ok(self.resources()),
            ["extensions"] => Ok(json!({"extensions": view::extensions(self.network.has_ports())})),
            ["extensions", alias] => {
                let mut all = view::extensions(self.network.has_ports()).into_iter();
                let found = all.find(|extension| extension["alias"] == *alias);
                found
                    .map(|found| json!({"extension": found}))
                    .ok_or_else(|| Refusal::not_found("ExtensionNotFound", "Extension", alias))
            }
            ["networks"] => self.list("networks", networks()),
            ["networks", id] => self.one("network", ("NetworkNotFound", "Network"), id, networks()),
            ["subnets"] => self.list("subnets", subnets()),
            ["subnets", id] => self.one("subnet", ("SubnetNotFound", "Subnet"), id, subnets()),
            ["ports"] => self.list("ports", self.ports(caller)),
            ["ports", id] => self.one("port", ("PortNotFound", "Port"), id, self.ports(caller)),
            ["network-ip-availabilities", rest @ ..] => self.availability(rest, caller),
            ["quotas", rest @ ..] => self.quota(rest, caller),
            ["security-groups"] => self.list("security_groups", self.groups(caller)),
            ["security-groups", id] => self.one(
                "security_group",
                ("SecurityGroupNotFound", "Security group"),
                id,
                self.groups(caller),
            ),
            ["security-group-rules"] => self.list("security_group_rules", self.group_rules(caller)),
            ["security-group-rules", id] => {
                let what = ("SecurityGroupRuleNotFound", "Security group rule");
                self.one("security_group_rule", what, id, self.group_rules(caller))
            }
            ["qos", rest @ ..] => self.qos_show(rest, caller),
            [collection, rest @ ..] => match (EMPTY.iter().find(|(known, _)| known == collection), rest) {
                (Some((name, _)), []) => self.list(&name.replace('-', "_"), vec![]),
                (Some((_, entry)), [id]) => Err(Refusal::not_found("HTTPNotFound", entry, id)),
                _ => Err(Refusal::new(
                    StatusCode::NOT_FOUND,
                    "HTTPNotFound",
                    "The resource could not be found.",
                )),
            },
        }
    }

    fn resources(&self) -> Value {
        let collections = ["networks", "subnets", "ports", "extensions"];
        let resource = |collection: &str| {
            json!({
                "name": collection.trim_end_matches('s'), "collection": collection,
                "links": [{"rel": "self", "href": format!("{}/v2.0/{collection}", self.root())}],
            })
        };
        json!({"resources": collections.map(resource)})
    }

    /// Load balancers' own, which are the service's.
    fn groups(&self, caller: &Caller) -> Vec<Value> {
        let owner = self.identity.owner();
        let all = |book: &super::Book| book.groups().map(|group| view::group(group, owner)).collect();
        if caller.owns(owner) { self.network.look(all) } else { vec![] }
    }

    fn group_rules(&self, caller: &Caller) -> Vec<Value> {
        let owner = self.identity.owner();
        let all =
            |book: &super::Book| book.groups().flat_map(|group| view::group_rules(group, owner)).collect();
        if caller.owns(owner) { self.network.look(all) } else { vec![] }
    }

    fn ports(&self, caller: &Caller) -> Vec<Value> {
        self.network.look(|book| {
            book.ports().filter(|port| caller.sees(port)).map(|port| view::port(book, port)).collect()
        })
    }

    fn list(&self, key: &str, documents: Vec<Value>) -> Result<Value, Refusal> {
        let Page { documents, next } = page(documents, &self.call.query)
            .map_err(|text| Refusal::new(StatusCode::BAD_REQUEST, "InvalidInput", text))?;
        let mut list = json!({key: documents});
        if let Some(marker) = next {
            let limit = self.call.query.first("limit").unwrap_or_default();
            let href = format!("{}/v2.0/{key}?limit={limit}&marker={marker}", self.root());
            list[format!("{key}_links")] = json!([{"rel": "next", "href": href}]);
        }
        Ok(list)
    }

    fn one(
        &self,
        key: &str,
        (kind, what): (&'static str, &str),
        id: &str,
        documents: Vec<Value>,
    ) -> Result<Value, Refusal> {
        let found = documents.into_iter().find(|document| document["id"] == id);
        let found = found.ok_or_else(|| Refusal::not_found(kind, what, id))?;
        Ok(json!({key: shown(found, &self.call.query)}))
    }

    fn availability(&self, path: &[&str], caller: &Caller) -> Result<Value, Refusal> {
        if !caller.admin {
            return Err(Refusal::forbidden());
        }
        let owner = self.identity.owner();
        let all: Vec<_> = self
            .network
            .look(|book| book.nets().iter().map(|net| view::availability(book, net, owner)).collect());
        match path {
            [] => self.list("network_ip_availabilities", all),
            [id] => {
                let found = all.into_iter().find(|document| document["network_id"] == *id);
                let found = found.ok_or_else(|| Refusal::not_found("NetworkNotFound", "Network", id))?;
                Ok(json!({"network_ip_availability": found}))
            }
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, "HTTPNotFound", "The resource could not be found.")),
        }
    }

    /// Nothing is limited but by the number of addresses.
    fn quota(&self, path: &[&str], caller: &Caller) -> Result<Value, Refusal> {
        let limits: Value = QUOTAS.iter().map(|name| ((*name).to_owned(), json!(-1))).collect();
        let (project, rest) = match path {
            [] if caller.admin => return Ok(json!({"quotas": []})),
            [project, rest @ ..] => (*project, rest),
            [] => return Err(Refusal::forbidden()),
        };
        if project != caller.project.as_str() && !caller.admin {
            return Err(Refusal::forbidden());
        }
        match rest {
            [] | ["default"] => Ok(json!({"quota": limits})),
            ["details"] => {
                let ports =
                    self.network.look(|book| book.ports().filter(|port| port.project_id == project).count());
                let details: Value = QUOTAS
                    .iter()
                    .map(|name| {
                        let used = if *name == "port" { ports } else { 0 };
                        ((*name).to_owned(), json!({"limit": -1, "used": used, "reserved": 0}))
                    })
                    .collect();
                Ok(json!({"quota": details}))
            }
            _ => Err(Refusal::new(StatusCode::NOT_FOUND, "HTTPNotFound", "The resource could not be found.")),
        }
    }

    // ---- ports

    async fn port_create(&self, caller: Caller) -> Result<Response, Refusal> {
        if !caller.member {
            return Err(Refusal::forbidden());
        }
        let request =
            request::port_create(&self.call.body, caller.project.as_str(), self.network.has_ports())
                .map_err(Refusal::bad)?;
        if request.project_id != caller.project.as_str() && !caller.admin {
            return Err(Refusal::forbidden());
        }
        let decide = move |book: &super::Book, now| {
            let port = book.port_new(&request, super::fresh(book), now)?;
            Ok::<_, Refusal>((view::port(book, &port), Change::Put(Box::new(port))))
        };
        let port = self.network.change(decide).await?;
        Ok(answer(StatusCode::CREATED, &json!({"port": port})))
    }

    async fn port_update(&self, id: &str, caller: Caller) -> Result<Response, Refusal> {
        let id = own_port_id(id)?;
        let (body, interfaces) = (self.call.body.clone(), self.network.has_ports());
        let decide = move |book: &super::Book, now| {
            let port = own_port(book, id, &caller)?;
            let update = request::port_update(&body, port, interfaces).map_err(Refusal::bad)?;
            let port = book.port_update(id, &update, now)?;
            Ok::<_, Refusal>((view::port(book, &port), Change::Put(Box::new(port))))
        };
        let port = self.network.change(decide).await?;
        Ok(answer(StatusCode::OK, &json!({"port": port})))
    }

    async fn port_delete(&self, id: &str, caller: Caller) -> Result<Response, Refusal> {
        let id = own_port_id(id)?;
        let decide = move |book: &super::Book, _| {
            own_port(book, id, &caller)?;
            Ok::<_, Refusal>(((), book.port_delete(id)?))
        };
        self.network.change(decide).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }
}

fn own_port_id(id: &str) -> Result<PortId, Refusal> {
    id.parse().map_err(|_| Refusal::not_found("PortNotFound", "Port", id))
}

/// What the caller does not see is not there; what it sees it may change only as a member.
fn own_port<'a>(book: &'a super::Book, id: PortId, caller: &Caller) -> Result<&'a Port, Refusal> {
    let port = book.port(id).filter(|port| caller.sees(port)).ok_or(BookError::PortUnknown(id))?;
    if caller.member { Ok(port) } else { Err(Refusal::forbidden()) }
}
