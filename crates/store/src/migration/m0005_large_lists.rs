//! Lists of large clouds: whatever load balancers are asked for by, an index holds them in the order of the list. So a
//! page is read from it, whether nearly all or nearly none match; an index without the order makes a database sort them
//! all for the first hundred.

use async_trait::async_trait;
use sea_orm_migration::prelude::{DbErr, Index, MigrationName, MigrationTrait, SchemaManager};

#[derive(Debug)]
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "0005_large_lists"
    }
}

const TABLE: &str = "load_balancer";
const BY_NAME: &str = "ix_load_balancer_name";

/// Before `created_at` and `id`.
const COLUMNS: &[(&str, &str)] = &[
    ("ix_load_balancer_name_list", "name"),
    ("ix_load_balancer_description_list", "description"),
    ("ix_load_balancer_provisioning_list", "provisioning_status"),
    ("ix_load_balancer_operating_list", "operating_status"),
    ("ix_load_balancer_subnet_list", "vip_subnet_id"),
    ("ix_load_balancer_network_list", "vip_network_id"),
    ("ix_load_balancer_flavor_list", "flavor_id"),
    ("ix_load_balancer_zone_list", "availability_zone"),
];

#[async_trait]
#[expect(elided_lifetimes_in_paths, reason = "the trait's own signature")]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, column) in COLUMNS {
            let index =
                Index::create().name(*name).table(TABLE).col(*column).col("created_at").col("id").take();
            manager.create_index(index).await?;
        }
        manager.drop_index(Index::drop().name(BY_NAME).table(TABLE).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_index(Index::create().name(BY_NAME).table(TABLE).col("name").take()).await?;
        for (name, _) in COLUMNS {
            manager.drop_index(Index::drop().name(*name).table(TABLE).to_owned()).await?;
        }
        Ok(())
    }
}
