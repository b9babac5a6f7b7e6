//! What each endpoint does, one module per resource and the same shape in each: decode → find → authorize → check →
//! change → show.

mod amphora;
mod availability_zone;
mod availability_zone_profile;
mod flavor;
mod flavor_profile;
mod health_monitor;
mod listener;
mod load_balancer;
mod member;
mod pool;
mod provider;
mod quota;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::call::{Answer, Call};
use crate::endpoint::Operation as Op;
use crate::fault::Fault;
use crate::request::profile::ProfileKind;

pub(crate) async fn dispatch(call: &Call) -> Result<Answer, Fault> {
    match call.endpoint.operation {
        Op::LoadBalancerList => load_balancer::list(call).await,
        Op::LoadBalancerCreate => load_balancer::create(call).await,
        Op::LoadBalancerShow => load_balancer::show(call).await,
        Op::LoadBalancerUpdate => load_balancer::update(call).await,
        Op::LoadBalancerDelete => load_balancer::delete(call).await,
        Op::LoadBalancerStatus => load_balancer::status(call).await,
        Op::LoadBalancerStats => load_balancer::stats(call).await,
        Op::LoadBalancerFailover => load_balancer::failover(call).await,
        Op::ListenerList => listener::list(call).await,
        Op::ListenerCreate => listener::create(call).await,
        Op::ListenerShow => listener::show(call).await,
        Op::ListenerUpdate => listener::update(call).await,
        Op::ListenerDelete => listener::delete(call).await,
        Op::ListenerStats => listener::stats(call).await,
        Op::PoolList => pool::list(call).await,
        Op::PoolCreate => pool::create(call).await,
        Op::PoolShow => pool::show(call).await,
        Op::PoolUpdate => pool::update(call).await,
        Op::PoolDelete => pool::delete(call).await,
        Op::MemberList => member::list(call).await,
        Op::MemberCreate => member::create(call).await,
        Op::MemberBatch => member::batch(call).await,
        Op::MemberShow => member::show(call).await,
        Op::MemberUpdate => member::update(call).await,
        Op::MemberDelete => member::delete(call).await,
        Op::HealthMonitorList => health_monitor::list(call).await,
        Op::HealthMonitorCreate => health_monitor::create(call).await,
        Op::HealthMonitorShow => health_monitor::show(call).await,
        Op::HealthMonitorUpdate => health_monitor::update(call).await,
        Op::HealthMonitorDelete => health_monitor::delete(call).await,
        Op::AmphoraList => amphora::list(call).await,
        Op::AmphoraShow => amphora::show(call).await,
        Op::QuotaList => quota::list(call).await,
        Op::QuotaShow => quota::show(call).await,
        Op::QuotaUpdate => quota::update(call).await,
        Op::QuotaDelete => quota::delete(call).await,
        Op::QuotaDefaults => quota::defaults(call),
        Op::ProviderList => provider::list(call),
        Op::FlavorCapabilityList => provider::capability_list(call, ProfileKind::Flavor),
        Op::AvailabilityZoneCapabilityList => provider::capability_list(call, ProfileKind::AvailabilityZone),
        Op::FlavorList => flavor::list(call).await,
        Op::FlavorCreate => flavor::create(call).await,
        Op::FlavorShow => flavor::show(call).await,
        Op::FlavorUpdate => flavor::update(call).await,
        Op::FlavorDelete => flavor::delete(call).await,
        Op::FlavorProfileList => flavor_profile::list(call).await,
        Op::FlavorProfileCreate => flavor_profile::create(call).await,
        Op::FlavorProfileShow => flavor_profile::show(call).await,
        Op::FlavorProfileUpdate => flavor_profile::update(call).await,
        Op::FlavorProfileDelete => flavor_profile::delete(call).await,
        Op::AvailabilityZoneList => availability_zone::list(call).await,
        Op::AvailabilityZoneCreate => availability_zone::create(call).await,
        Op::AvailabilityZoneShow => availability_zone::show(call).await,
        Op::AvailabilityZoneUpdate => availability_zone::update(call).await,
        Op::AvailabilityZoneDelete => availability_zone::delete(call).await,
        Op::AvailabilityZoneProfileList => availability_zone_profile::list(call).await,
        Op::AvailabilityZoneProfileCreate => availability_zone_profile::create(call).await,
        Op::AvailabilityZoneProfileShow => availability_zone_profile::show(call).await,
        Op::AvailabilityZoneProfileUpdate => availability_zone_profile::update(call).await,
        Op::AvailabilityZoneProfileDelete => availability_zone_profile::delete(call).await,
        Op::EmptyList(key, links_key) => empty_list(call, key, links_key),
        Op::NeverFound(resource) => Err(Fault::not_found(resource, call.parameter(0))),
        Op::ParentNeverFound(resource) => {
            Err(Fault::ParentNotFound { resource, id: call.parameter(0).to_owned() })
        }
        Op::Unbuilt(what) => {
            call.authorize_own()?;
            Err(Fault::NotImplemented(what.to_owned()))
        }
    }
}

fn empty_list(call: &Call, key: &str, links_key: &str) -> Result<Answer, Fault> {
    let arguments = call.list_arguments()?;
    call.list_project(&arguments)?;
    let mut document = Map::new();
    document.insert(key.to_owned(), json!([]));
    document.insert(links_key.to_owned(), json!([]));
    Ok(Answer::Json(StatusCode::OK, Value::Object(document)))
}
