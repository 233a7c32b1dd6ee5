//! The cases, and the list of them that every implementation runs.

pub mod coordination;
pub mod flux;
pub mod layers;
pub mod nodes;
pub mod pods;
pub mod reads;
pub mod workloads;

/// Hands the path of every case to a macro, which makes of it what it likes: tests, or a list.
#[macro_export]
macro_rules! k8s_contract {
    ($then:ident) => {
        $then! {
            reads::health_names_the_cluster,
            reads::a_node_has_its_kubelets_lease_and_boot_id,
            reads::what_others_put_on_a_node_is_read,
            reads::a_pod_is_read_with_its_node_and_owner,
            reads::a_pod_that_has_ended_is_listed_apart_where_a_workload_owns_it,
            reads::leases_of_controllers_are_read_without_those_of_kubelets,
            reads::workloads_have_their_wanted_replicas,
            reads::namespaces_are_named,
            reads::claims_are_read,
            reads::attachments_are_read,
            reads::csi_nodes_are_read,
            reads::ingresses_are_read,
            reads::endpoints_are_read_by_service,
            reads::jobs_that_flux_applied_are_read,
            reads::apis_that_a_service_serves_are_read,
            reads::warnings_are_read,
            reads::objects_of_flux_are_read,
            reads::a_cluster_without_flux_is_a_normal_cluster,
            nodes::a_cordon_is_a_taint_and_a_note_beside_those_of_others,
            nodes::a_persons_cordon_outlives_ours,
            nodes::a_late_cordon_conflicts_and_changes_nothing,
            nodes::a_cordon_is_for_the_node_of_one_uid,
            nodes::a_cordoned_node_takes_no_second_cordon,
            nodes::an_uncordon_gives_back_its_own_lease_only,
            nodes::an_uncordon_of_a_foreign_lease_changes_nothing,
            nodes::a_late_uncordon_conflicts_and_changes_nothing,
            nodes::a_mark_says_one_sentence_in_three_places,
            nodes::a_mark_needs_the_cordon_it_speaks_of,
            nodes::a_mark_is_cleared_and_nothing_else,
            nodes::a_node_that_is_gone_is_missing,
            pods::an_evicted_pod_ends,
            pods::a_full_budget_blocks_and_is_named,
            pods::a_pod_is_deleted_with_its_grace_period,
            pods::a_forced_pod_is_gone_at_once,
            pods::a_pod_of_another_uid_is_left_alone,
            pods::a_pod_that_is_gone_is_missing,
            workloads::a_job_is_deleted_by_uid,
            workloads::a_job_that_is_gone_is_missing,
            workloads::a_workload_is_scaled_on_the_version_that_was_seen,
            workloads::scaling_back_takes_the_note_away,
            workloads::what_has_no_replicas_is_not_scaled,
            workloads::a_workload_that_is_gone_is_missing,
            flux::suspend_sets_the_stamp_and_resume_takes_both_away,
            flux::a_late_suspend_conflicts_and_changes_nothing,
            flux::a_reconciliation_is_requested,
            flux::a_release_is_reset_and_forced_with_the_token_of_the_request,
            flux::a_request_is_handled_and_its_outcome_is_read,
            flux::a_branch_is_set_on_the_version_that_was_seen,
            flux::a_url_is_set_on_the_version_that_was_seen,
            flux::an_object_that_is_gone_is_missing,
            layers::a_layer_has_all_that_is_kept_and_names_the_rest,
            layers::what_is_there_is_left_as_it_is,
            layers::what_is_absent_is_made_again_in_fluxs_name,
            layers::an_object_without_its_namespace_is_missing,
            layers::a_kustomization_that_is_gone_has_no_layer,
            coordination::the_lease_is_created_renewed_and_given_back,
            coordination::whoever_is_late_for_the_lease_gets_a_conflict,
            coordination::a_lease_that_is_gone_cannot_be_renewed,
        }
    };
}
