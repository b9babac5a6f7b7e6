//! The service catalogue: four services, each at the host that the client itself used, unless it is told to be elsewhere.

use serde_json::{Value, json};

use crate::local::seed::Seed;
use crate::local::{IDENTITY_PATH, LOAD_BALANCER_PATH, NETWORK_PATH, REGION, SECRETS_PATH};

const INTERFACES: &[&str] = &["public", "internal", "admin"];

#[derive(Debug)]
struct Service {
    id: String,
    kind: &'static str,
    name: &'static str,
    path: &'static str,
    /// In the order of [`INTERFACES`].
    endpoints: Vec<String>,
    /// The whole address, where it is not below the host that the client used.
    elsewhere: Option<String>,
}

impl Service {
    fn url(&self, base: &str) -> String {
        self.elsewhere.clone().unwrap_or_else(|| format!("{base}{}", self.path))
    }
}

#[derive(Debug)]
pub(super) struct Catalog {
    services: Vec<Service>,
}

impl Catalog {
    /// `load_balancer`: where that service is, if not beside the others.
    pub(super) fn new(seed: &Seed, load_balancer: Option<&str>) -> Self {
        let service = |kind: &'static str, name: &'static str, path: &'static str| Service {
            elsewhere: load_balancer.filter(|_| path == LOAD_BALANCER_PATH).map(str::to_owned),
            id: seed.hex_id(&format!("service/{kind}")),
            kind,
            name,
            path,
            endpoints: INTERFACES.iter().map(|i| seed.hex_id(&format!("endpoint/{kind}/{i}"))).collect(),
        };
        Self {
            services: vec![
                service("identity", "keystone", IDENTITY_PATH),
                service("network", "neutron", NETWORK_PATH),
                service("key-manager", "barbican", SECRETS_PATH),
                service("load-balancer", "octavia", LOAD_BALANCER_PATH),
            ],
        }
    }

    /// As in a token. `base` = scheme and host.
    pub(super) fn of_token(&self, base: &str) -> Value {
        let entry = |service: &Service| {
            let endpoints: Vec<_> = service
                .endpoints
                .iter()
                .zip(INTERFACES)
                .map(|(id, interface)| {
                    json!({
                        "id": id, "interface": interface, "region": REGION, "region_id": REGION,
                        "url": service.url(base),
                    })
                })
                .collect();
            json!({"id": service.id, "type": service.kind, "name": service.name, "endpoints": endpoints})
        };
        self.services.iter().map(entry).collect()
    }

    pub(super) fn services(&self, base: &str) -> Vec<Value> {
        let entry = |service: &Service| {
            json!({
                "id": service.id, "type": service.kind, "name": service.name, "description": "", "enabled": true,
                "links": {"self": format!("{base}{IDENTITY_PATH}/v3/services/{}", service.id)},
            })
        };
        self.services.iter().map(entry).collect()
    }

    pub(super) fn endpoints(&self, base: &str) -> Vec<Value> {
        let entry = |service: &Service, id: &str, interface: &str| {
            json!({
                "id": id, "interface": interface, "region": REGION, "region_id": REGION, "enabled": true,
                "service_id": service.id, "url": service.url(base),
                "links": {"self": format!("{base}{IDENTITY_PATH}/v3/endpoints/{id}")},
            })
        };
        self.services
            .iter()
            .flat_map(|service| {
                service.endpoints.iter().zip(INTERFACES).map(move |(id, i)| entry(service, id, i))
            })
            .collect()
    }
}
