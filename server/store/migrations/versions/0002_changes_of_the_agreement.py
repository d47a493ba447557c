"""Proposals and their approvals, signatures, departures, approvals outside the schedule, and quality reports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "review",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("closed_at", sa.String(length=27), nullable=True),
        sa.Column("closed_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
    )
    op.create_table(
        "departure",
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("attest_by", sa.String(), nullable=False),
        sa.Column("attested_at", sa.String(length=27), nullable=True),
        sa.Column("attested_by", sa.String(), nullable=True),
        sa.Column("return_asked_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("member", name=op.f("pk_departure")),
    )
    op.create_table(
        "proposal",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("revision", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("base", sa.String(length=64), nullable=False),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("consequences", sa.Text(), nullable=False),
        sa.Column("needs", sa.Text(), nullable=False),
        sa.Column("document_sha256", sa.String(length=64), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("ended_at", sa.String(length=27), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposal")),
    )
    with op.batch_alter_table("proposal", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_proposal_revision"), ["revision"], unique=False)

    op.create_table(
        "signature",
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("document_sha256", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("revision", sa.String(length=64), nullable=False),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.PrimaryKeyConstraint("member", "document_sha256", name=op.f("pk_signature")),
    )
    op.create_table(
        "ad_hoc",
        sa.Column("consignment", sa.String(), nullable=False),
        sa.Column("asked_at", sa.String(length=27), nullable=False),
        sa.Column("approve_by", sa.String(length=27), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=True),
        sa.Column("approved_at", sa.String(length=27), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["consignment"], ["consignment.id"], name=op.f("fk_ad_hoc_consignment_consignment")),
        sa.PrimaryKeyConstraint("consignment", name=op.f("pk_ad_hoc")),
    )
    with op.batch_alter_table("ad_hoc", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ad_hoc_approve_by"), ["approve_by"], unique=False)

    op.create_table(
        "approval",
        sa.Column("proposal", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("via", sa.String(), nullable=False),
        sa.Column("at", sa.String(length=27), nullable=False),
        sa.ForeignKeyConstraint(["proposal"], ["proposal.id"], name=op.f("fk_approval_proposal_proposal")),
        sa.PrimaryKeyConstraint("proposal", "person", name=op.f("pk_approval")),
    )
    with op.batch_alter_table("consignment", schema=None) as batch_op:
        batch_op.add_column(sa.Column("warnings", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("quality", sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("consignment", schema=None) as batch_op:
        batch_op.drop_column("quality")
        batch_op.drop_column("warnings")

    op.drop_table("approval")
    with op.batch_alter_table("ad_hoc", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_ad_hoc_approve_by"))

    op.drop_table("ad_hoc")
    op.drop_table("signature")
    with op.batch_alter_table("proposal", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_proposal_revision"))

    op.drop_table("proposal")
    op.drop_table("departure")
    op.drop_table("review")
