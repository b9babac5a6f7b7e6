//! `[health_manager]`: where heartbeats come to.

use std::net::{IpAddr, SocketAddr};

use octavia_config::option::health_manager;

use super::Reader;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeartbeatSettings {
    /// `None` = where amphorae see this machine.
    ip: Option<IpAddr>,
    port: u16,
    /// All health managers there are; empty = the one that is here.
    controllers: Vec<SocketAddr>,
}

impl HeartbeatSettings {
    /// Where a health manager listens in this process. `management`: where amphorae see this machine.
    pub(crate) fn address(&self, management: IpAddr) -> SocketAddr {
        SocketAddr::new(self.ip.unwrap_or(management), self.port)
    }

    /// What amphorae are told: where their heartbeats go, in turn.
    pub(crate) fn destinations(&self, management: IpAddr) -> Vec<SocketAddr> {
        if !self.controllers.is_empty() {
            return self.controllers.clone();
        }
        let ip = self.ip.filter(|ip| !ip.is_unspecified());
        vec![SocketAddr::new(ip.unwrap_or(management), self.port)]
    }

    /// All that are configured.
    pub(crate) fn controllers(&self) -> &[SocketAddr] {
        &self.controllers
    }

    /// The same, listening elsewhere.
    pub(crate) fn at(self, address: SocketAddr) -> Self {
        Self { ip: Some(address.ip()), port: address.port(), ..self }
    }
}

impl Reader<'_> {
    pub(super) fn heartbeats(&mut self) -> HeartbeatSettings {
        let address = |text: &str| {
            let address = text.parse().ok().filter(|address: &SocketAddr| address.port() != 0);
            address.ok_or_else(|| format!("{text:?}: amphorae look up no names, and want ADDRESS:PORT"))
        };
        HeartbeatSettings {
            ip: self.config.given(&health_manager::bind_ip),
            port: self.config.all_in_one(&health_manager::bind_port).unwrap_or_default(),
            controllers: self.each(&health_manager::controller_ip_port_list, address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_heartbeats_go() {
        let management = IpAddr::from([127, 100, 0, 1]);
        let others = vec!["10.0.0.1:5555".parse().unwrap(), "[fd00::2]:5555".parse().unwrap()];
        for (ip, controllers, listens, told) in [
            (None, vec![], "127.100.0.1:7", "127.100.0.1:7"),
            (Some("10.0.0.9"), vec![], "10.0.0.9:7", "10.0.0.9:7"),
            (Some("0.0.0.0"), vec![], "0.0.0.0:7", "127.100.0.1:7"),
            (Some("::"), others.clone(), "[::]:7", "10.0.0.1:5555 [fd00::2]:5555"),
            (None, others, "127.100.0.1:7", "10.0.0.1:5555 [fd00::2]:5555"),
        ] {
            let ip = ip.map(|ip| ip.parse().unwrap());
            let settings = HeartbeatSettings { ip, port: 7, controllers };
            assert_eq!(settings.address(management).to_string(), listens);
            let destinations: Vec<_> =
                settings.destinations(management).iter().map(ToString::to_string).collect();
            assert_eq!(destinations.join(" "), told);
        }
    }
}
