"""What a process keeps of identity between requests: the policy, the grants of tokens, the threads that hash."""

from pumice.caller import Caller
from pumice.db.engine import Transaction
from pumice.errors import Forbidden
from pumice.identity import access_rules, generation
from pumice.identity.access_rules import Asked
from pumice.identity.model import Grant
from pumice.identity.passwords import Passwords
from pumice.identity.policy import Policy
from pumice.identity.tokens import TokenCache


class Identity:
    """One a process."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.passwords = Passwords()
        self.tokens = TokenCache()

    def authenticate(
        self,
        tx: Transaction,
        request_id: str,
        token_digest: str,
        service_digest: str | None,
        asked: Asked | None = None,
    ) -> Caller:
        """Who the token speaks for, as of this transaction.

        Raises Unauthorized, also for an invalid service token: the service that sent it must hear of it;
        Forbidden when the token's application credential is limited to other requests (what
        another service asks on behalf of its own, allowed caller is not looked at again)."""
        current = generation.current(tx)
        grant = self.tokens.grant(tx, token_digest, current)
        from_service = service_digest is not None and self._is_service(tx, service_digest, current)
        used = grant.application_credential
        if used is not None and used.rules and not from_service and not access_rules.allowed(used.rules, asked):
            raise Forbidden(f"The access rules of the application credential {used.name} don't allow this request.")
        return caller_of(grant, request_id, from_service)

    def _is_service(self, tx: Transaction, digest: str, current: int) -> bool:
        return "service" in self.tokens.grant(tx, digest, current).role_names

    def close(self) -> None:
        self.passwords.close()


def caller_of(grant: Grant, request_id: str, from_service: bool = False) -> Caller:
    project, domain = grant.project, grant.domain
    return Caller(
        request_id=request_id,
        user_id=grant.user.id,
        project_id=project.id if project else None,
        roles=grant.role_names,
        system_scope=grant.scope == "system",
        domain_id=domain.id if domain else None,
        user_name=grant.user.name,
        project_name=project.name if project else "",
        has_service_token=from_service,
        restricted=grant.application_credential is not None and grant.application_credential.restricted,
    )
