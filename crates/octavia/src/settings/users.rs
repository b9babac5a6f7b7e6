//! What users may choose, and what they get who choose nothing.

use octavia_api::VipOptions;
use octavia_config::Opt;
use octavia_config::option::{haproxy_amphora, networking};
use octavia_model::{NetworkId, Timeouts};

use super::Reader;

impl Reader<'_> {
    pub(super) fn vip(&mut self) -> VipOptions {
        VipOptions {
            allow_port_id: self.flag(&networking::allow_vip_port_id),
            allow_network_id: self.flag(&networking::allow_vip_network_id),
            allow_subnet_id: self.flag(&networking::allow_vip_subnet_id),
            networks: self.network_ids(&networking::valid_vip_networks),
            denied_networks: self.network_ids(&networking::denylist_vip_networks),
        }
    }

    /// The original takes any word and never meets it; a network that was to be denied would not be.
    fn network_ids(&mut self, option: &Opt<Vec<String>>) -> Vec<NetworkId> {
        self.each(option, |word| word.trim().parse().map_err(|_| format!("{word:?} is no id of a network")))
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        // The table bounds them.
        let milliseconds = |option| u32::try_from(self.number(option)).unwrap_or(Timeouts::MAX);
        Timeouts {
            client_data: milliseconds(&haproxy_amphora::timeout_client_data),
            member_connect: milliseconds(&haproxy_amphora::timeout_member_connect),
            member_data: milliseconds(&haproxy_amphora::timeout_member_data),
            tcp_inspect: milliseconds(&haproxy_amphora::timeout_tcp_inspect),
        }
    }

    pub(super) fn connection_limit(&self) -> Option<u32> {
        let limit = u32::try_from(self.number(&haproxy_amphora::default_connection_limit)).ok();
        limit.filter(|limit| *limit > 0)
    }
}
