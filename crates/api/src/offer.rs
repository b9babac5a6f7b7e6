//! What a new load balancer is made of, out of what operators offer: provider, flavor, availability zone
//! (`reference/api.md` §3.1, §9.2).

use octavia_model::{AvailabilityZoneProfile, FlavorId, FlavorProfile, NetworkId, Topology};

use crate::call::Call;
use crate::fault::Fault;
use crate::options::ApiOptions;
use crate::request::load_balancer::LoadBalancerBody;
use crate::rules::profile;
use crate::vip;

/// The choice of one request: everything chosen is there and enabled.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) provider: String,
    pub(crate) flavor_id: Option<FlavorId>,
    pub(crate) availability_zone: Option<String>,
    flavor: Option<FlavorProfile>,
    zone: Option<AvailabilityZoneProfile>,
}

pub(crate) async fn choose(call: &Call, body: &LoadBalancerBody) -> Result<Choice, Fault> {
    let flavor = match body.flavor_id.is_sent() {
        true => Some(flavor_profile(call, body.flavor_id.value()).await?),
        false => None,
    };
    let zone = match body.availability_zone.is_sent() {
        true => Some(zone_profile(call, body.availability_zone.get()).await?),
        false => None,
    };
    let asked = body.provider.is_sent().then(|| body.provider.clone().or("amphora".to_owned()));
    let flavor_id = body.flavor_id.value();
    let provider = match (&flavor, asked) {
        // Aliases are not alike here: the names themselves must be.
        (Some(profile), Some(asked)) if profile.provider_name != asked => {
            let flavor = flavor_id.map(|id| id.to_string()).unwrap_or_default();
            return Err(Fault::FlavorMismatch { flavor, provider: asked });
        }
        (Some(profile), _) => profile.provider_name.clone(),
        (None, Some(asked)) => asked,
        (None, None) => call.state.options.default_provider.clone(),
    };
    profile::check_provider(&provider, &call.state.options)?;
    let availability_zone = body.availability_zone.get().cloned();
    Ok(Choice { provider, flavor_id, availability_zone, flavor, zone })
}

async fn flavor_profile(call: &Call, id: Option<FlavorId>) -> Result<FlavorProfile, Fault> {
    // Null is not a choice either.
    let id = id.ok_or_else(Fault::unknown_flavor)?;
    let store = &call.state.store;
    let flavor = store.flavor_fetch(id).await?.ok_or_else(Fault::unknown_flavor)?;
    if !flavor.enabled {
        return Err(Fault::DisabledOption { option: "flavor", value: id.to_string() });
    }
    let profile = store.flavor_profile_fetch(flavor.flavor_profile_id).await?;
    profile.ok_or_else(Fault::unknown_flavor)
}

async fn zone_profile(call: &Call, name: Option<&String>) -> Result<AvailabilityZoneProfile, Fault> {
    let name = name.ok_or_else(Fault::unknown_availability_zone)?;
    let store = &call.state.store;
    let zone = store.availability_zone_fetch(name).await?.ok_or_else(Fault::unknown_availability_zone)?;
    if !zone.enabled {
        return Err(Fault::DisabledOption { option: "availability_zone", value: name.clone() });
    }
    let profile = store.availability_zone_profile_fetch(zone.availability_zone_profile_id).await?;
    profile.ok_or_else(Fault::unknown_availability_zone)
}

impl Choice {
    /// What the provider makes of it, for a VIP on this network.
    pub(crate) fn topology(&self, network: NetworkId, options: &ApiOptions) -> Result<Topology, Fault> {
        let topology = match &self.flavor {
            Some(flavor) => profile::flavor(&self.provider, &flavor.flavor_data, options.interfaces)?,
            None => None,
        };
        let topology = topology.unwrap_or_else(|| options.topology());
        let listed = match &self.zone {
            Some(zone) => profile::availability_zone(&self.provider, &zone.availability_zone_data, network)?,
            None => false,
        };
        vip::check_network(network, listed, &options.vip)?;
        Ok(topology)
    }
}
