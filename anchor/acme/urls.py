"""The URLs of the resources of one authority; all of them come from the configuration."""

from __future__ import annotations

from dataclasses import dataclass

from anchor.store.acme_records import Authorization


@dataclass(frozen=True)
class AcmeUrls:
    """The URLs of the ACME resources of a registration authority.

    Attributes:
        base: the URL of the authority, such as ``https://anchor.example.com/acme/default``.
    """

    base: str

    @classmethod
    def of(cls, base_url: str, authority: str) -> AcmeUrls:
        """The URLs for an authority, whose name consists of characters that URLs can have.

        Args:
            base_url: the URL at which clients reach the service, without a slash at its end.
            authority: the name of the authority.
        """
        return cls(f"{base_url}/acme/{authority}")

    @property
    def directory(self) -> str:
        """The directory."""
        return f"{self.base}/directory"

    @property
    def new_nonce(self) -> str:
        """The resource ``newNonce``."""
        return f"{self.base}/new-nonce"

    @property
    def new_account(self) -> str:
        """The resource ``newAccount``."""
        return f"{self.base}/new-account"

    @property
    def new_order(self) -> str:
        """The resource ``newOrder``."""
        return f"{self.base}/new-order"

    @property
    def revoke_certificate(self) -> str:
        """The resource ``revokeCert``."""
        return f"{self.base}/revoke-cert"

    @property
    def key_change(self) -> str:
        """The resource ``keyChange``."""
        return f"{self.base}/key-change"

    @property
    def renewal_info(self) -> str:
        """The resource ``renewalInfo``, to which clients append a certificate's identifier."""
        return f"{self.base}/renewal-info"

    def explanation(self, certificate_id: str) -> str:
        """The page that says why a certificate is to be replaced now."""
        return f"{self.base}/explanation/{certificate_id}"

    def account(self, account_id: str) -> str:
        """An account; the URL is the ``kid`` of its requests."""
        return f"{self.base}/account/{account_id}"

    def orders(self, account_id: str) -> str:
        """The list of an account's orders."""
        return f"{self.base}/account/{account_id}/orders"

    def order(self, order_id: str) -> str:
        """An order."""
        return f"{self.base}/order/{order_id}"

    def finalize(self, order_id: str) -> str:
        """The resource to which the client sends its CSR."""
        return f"{self.base}/order/{order_id}/finalize"

    def authorization(self, authorization_id: str) -> str:
        """An authorization."""
        return f"{self.base}/authorization/{authorization_id}"

    def challenge(self, authorization: Authorization, challenge_type: str) -> str:
        """A challenge; each type is in an authorization at most once."""
        return f"{self.base}/challenge/{authorization.id}/{challenge_type}"

    def certificate(self, order_id: str) -> str:
        """The certificate of an order, with its chain."""
        return f"{self.base}/certificate/{order_id}"
