use sea_orm::entity::prelude::*;

/// The index of security groups of VIPs, for filters; what is shown is `load_balancer.vip_sg_ids`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "vip_security_group")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub load_balancer_id: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub sg_id: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
