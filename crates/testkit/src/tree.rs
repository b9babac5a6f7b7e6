//! Bodies of requests that many tests send.

use std::net::SocketAddr;

use serde_json::{Value, json};

/// A load balancer with one listener, one pool, members and (if asked) a monitor, for a single POST.
#[derive(Debug, Clone)]
pub struct Populated<'a> {
    pub name: &'a str,
    pub subnet_id: &'a str,
    pub protocol: &'a str,
    pub port: u16,
    pub algorithm: &'a str,
    pub members: &'a [SocketAddr],
    /// Body of the pool's monitor.
    pub monitor: Option<Value>,
}

impl Populated<'_> {
    /// The value of `loadbalancer`.
    pub fn body(&self) -> Value {
        let members: Vec<_> = self.members.iter().map(|address| member(*address, 1)).collect();
        let mut pool = json!({
            "name": format!("{}-pool", self.name),
            "protocol": self.protocol,
            "lb_algorithm": self.algorithm,
            "members": members,
        });
        if let Some(monitor) = &self.monitor {
            pool["healthmonitor"] = monitor.clone();
        }
        json!({
            "name": self.name,
            "vip_subnet_id": self.subnet_id,
            "listeners": [{
                "name": format!("{}-listener", self.name),
                "protocol": self.protocol,
                "protocol_port": self.port,
                "default_pool": pool,
            }],
        })
    }
}

/// A member's attributes.
pub fn member(address: SocketAddr, weight: u16) -> Value {
    json!({"address": address.ip().to_string(), "protocol_port": address.port(), "weight": weight})
}

/// A monitor that asks the origins' health path every second, and needs `fall` failures or `rise` successes.
pub fn http_monitor(fall: u8, rise: u8) -> Value {
    json!({
        "type": "HTTP",
        "delay": 1,
        "timeout": 1,
        "max_retries": rise,
        "max_retries_down": fall,
        "url_path": crate::origin::HEALTH_PATH,
    })
}
