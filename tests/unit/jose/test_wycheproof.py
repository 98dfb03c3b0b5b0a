"""Vectors of Project Wycheproof for signed JSON (json_web_signature_test.json, Apache-2.0).

They have the names and numbers of that file.  Of its RSA signatures with a changed padding only two
are here, because ``test_flattened`` makes such signatures itself.
"""

from __future__ import annotations

import json

import pytest

from anchor.acme.account_keys import require_algorithm, verify_signature
from anchor.acme.problems import AcmeProblem
from anchor.auth.oidc.keys import parse_keys
from anchor.jose.compact import parse_compact
from anchor.jose.flattened import parse_flattened
from anchor.jose.public_keys import parse_public_jwk
from tests.support import jwt

EC_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "alg": "ES256",
    "use": "sig",
    "kid": "kid-ec-sign",
    "x": "04N0xi21hshyvBp7I167sbE_bXqyqkAPfefdklMO7wY",
    "y": "UI8exy-C06a7DUnjIdENkxeFtHM4-l_41LqEw9nVgmw",
}
RSA_KEY = {
    "kty": "RSA",
    "alg": "RS256",
    "use": "sig",
    "kid": "kid-rsa-sign",
    "n": "kqGboBfAWttWPCA-0cGRgsY6SaYoIARt0B_PkaEcIq9HPYNdu9n6UuWHuuTHrjF_ZoQW97r5HaAorNvrMEGTGdxC"
    "HZdEtkHvNVVmrtxTBLiQCbCozXhFoIrVcr3qUBrdGnNn_M3jJi7Wg7p_-x62nS5gNG875oyheRkutHsQXikFZwsN3q_TsPNO"
    "VlCiHy8mxzaFTUQGm-X8UYexFyAivlDSjgDJLAZSWfxd7k9Gxuwa3AUfQqQcVcegmgKGCaErQ3qQbh1x7WB6iopE3_-G"
    "Z8HMAVtR9AmrVscqYsnjhaCehfAI0iKKs8zXr8tISc0ORbaalrkk03H1ZrsEnDKEWQ",
    "e": "AQAB",
}
# RFC 7520 sections 3.1 and 3.3.
BILBO = {"kid": "bilbo.baggins@hobbiton.example", "key_ops": ["verify"]}
BILBOS_RSA_KEY = {
    **BILBO,
    "kty": "RSA",
    "alg": "RS256",
    "n": "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_"
    "AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-Of"
    "VfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKw"
    "uCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw",
    "e": "AQAB",
}
BILBOS_EC_KEY = {
    **BILBO,
    "kty": "EC",
    "crv": "P-521",
    "x": "AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",
    "y": "AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1",
}
BILBOS_TEXT = (
    "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250"
    "byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hl"
    "cmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
)

ES256 = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0"
RS256 = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImtpZC1yc2Etc2lnbiJ9"
EC_SIGNATURE = (
    "5cA0OHyMP7ezamUd5c9kV-FrGxdx4hbGXOdplQkutrqWrte5P-pAvsE3Ve6xSyU3YDQwUHjVVOtvcrEbbnZ8yA"
)
RSA_SIGNATURE = (
    "HUwxI1-cZrZgcuOgBQ7G7NE-GrqK79l6GV1KT4DKXnSMFwC8pfZCzE7pmLE7mYpLCIvzC87yuOjuhT0uW5oe6aaAEtR9"
    "78cm-q8dfly45flqMrd_ifhi9GCsMlyi8dpQ42Ou1etZljFZuWjfyk8CN1c5DaHRwhqjScAPIFp6xmzKIRUJ_xdQfUSf"
    "SlujLaixtScU518EoNP4oo1v7E8RAz6ZO4g2N4Xqs8OvSxYydcoTEg42QnLHe9JnXgI37Q5gSwinwaPsG3Ry56UYiLoL"
    "8mCUa74S51y02VsIgVmmGWgaXjM-i_lCiKQDBiBnvWlka4XhVuvd6ZWibM9cbCPtPg"
)
VALID = {
    "18 acceptsValid": (EC_KEY, f"{ES256}.Zm9v.{EC_SIGNATURE}"),
    "33 acceptsValid": (RSA_KEY, f"{RS256}.Zm9v.{RSA_SIGNATURE}"),
    "349 Figure13": (
        BILBOS_RSA_KEY,
        "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9"
        f".{BILBOS_TEXT}"
        ".MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83x"
        "uglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5"
        "aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU"
        "0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
    ),
    "351 Figure27": (
        BILBOS_EC_KEY,
        "eyJhbGciOiJFUzUxMiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9"
        f".{BILBOS_TEXT}"
        ".AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJA"
        "Qy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2",
    ),
    "378 valid": (
        EC_KEY,
        f"{ES256}.Zm9v.5cA0OHyMP7ezamUd5c9kV-FrGxdx4hbGXOdplQkutrppUShFwBW_Qj7IqhFOtNrIXLLKXS5CSZmE"
        "RxmnjeyoiQ",
    ),
}
# SEC 2, 2.4.2: the order of the group.
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
NUMBERS = {"Zero": 0, "One": 1, "Nminus1": N - 1, "N": N}
EDGES = [
    (f"rIs{r}_sIs{s}", NUMBERS[r].to_bytes(32, "big") + NUMBERS[s].to_bytes(32, "big"))
    for r in NUMBERS
    for s in NUMBERS
]
INVALID = {
    "19 rejectsModifiedSignature": (EC_KEY, f"{ES256}.Zm9v.X{EC_SIGNATURE[1:]}"),
    "20 rejectsMissingSignature": (EC_KEY, f"{ES256}.Zm9v."),
    "22 rejectsModifiedPayload": (EC_KEY, f"{ES256}.WG9v.{EC_SIGNATURE}"),
    "23 rejectsMissingPayload": (EC_KEY, f"{ES256}..{EC_SIGNATURE}"),
    "25 rejectsModifiedHeader": (
        EC_KEY,
        f"eyJhbGciOiJFUzI1NiIsImtpZCI6IlhpZC1lYy1zaWduIn0.Zm9v.{EC_SIGNATURE}",
    ),
    "26 rejectsMissingHeader": (EC_KEY, f".Zm9v.{EC_SIGNATURE}"),
    "28 rejectsMissingHeaderAndSignature": (EC_KEY, ".Zm9v."),
    "31 rejectsSymmetryConfusionAttacks_aesKeyFromEcVerificationKeyBytes": (
        EC_KEY,
        "eyJhbGciOiJIUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIn0.Zm9v"
        ".TgWtz2FIRukBQ_mA5sgHa0Ybtgn7bl-YBPAi7Z0XdHU",
    ),
    "32 rejectsAttackerProvidedEmbeddedJwk": (
        EC_KEY,
        "eyJhbGciOiJFUzI1NiIsImtpZCI6ImtpZC1lYy1zaWduIiwiandrIjp7Imt0eSI6IkVDIiwia2lkIjoia2lkLWVjL"
        "XNpZ24iLCJ1c2UiOiJzaWciLCJhbGciOiJFUzI1NiIsIngiOiJNZG5UWkRJaERKYmZBU2RGcWFtY3BPMkNoOUdOS0s"
        "ybTBNUWxoNDAyU3BvIiwieSI6Ijdhdko0bHFfV3l4LW5MUERCUTJZcHl0dUh5TWlvMDdCVXl2bDNqYUMtMVkiLCJjc"
        "nYiOiJQLTI1NiJ9fQ.Zm9v"
        ".4jmsollQD8ZxvySzXYnIEYA4fwaZi2ZbC0aI1J4LYmW2Bn31NhKdjms2N6o51Dff5-InWXQF9m45VtTexl6yjg",
    ),
    "34 rejectsModifiedSignature": (RSA_KEY, f"{RS256}.Zm9v.X{RSA_SIGNATURE[1:]}"),
    "37 rejectsModifiedPayload": (RSA_KEY, f"{RS256}.WG9v.{RSA_SIGNATURE}"),
    "38 rejectsMissingPayload": (RSA_KEY, f"{RS256}..{RSA_SIGNATURE}"),
    "40 rejectsModifiedHeader": (
        RSA_KEY,
        f"eyJhbGciOiJSUzI1NiIsImtpZCI6IlhpZC1yc2Etc2lnbiJ9.Zm9v.{RSA_SIGNATURE}",
    ),
    "46 lengthOfSequenceUsesLongFormEncoding": (
        RSA_KEY,
        f"{RS256}.Zm9v"
        ".KudI1-Bo-NhWAmNYu-aEGQA3ciNp-gKgGJETRino-l25uRh9peU1GWjmFfnda0SSZK8msCFMQ-ibIZxkwC1CUjxBR"
        "NwG1LqVtBa2mHtedT3lxKaS0nAQAzhsg0XWAEUjgnH1qtsYXknGzh-Vi_uVsu2yfPy6YhH9_8Ian984VRMzitHDzeN"
        "Vcm1jc4vcB6iFicSl4cXWSijLxJSlVkDqMi8Neb3Zw-NQI3mQIt_3Eq51MncS-1vLBr0_qdAFREXVduyb-gRzgGSrE"
        "2pMxEO4Bbp5fvYnjaKsSdtNVvzayKwBDO418mfGzRbQyzpR2EeAFGIAkVRb_Mfh7Uil8nhBeg",
    ),
    "59 removingSequence": (
        RSA_KEY,
        f"{RS256}.Zm9v"
        ".F7S3oL6racMAA7D3H1UrEo1Ecr8YRxkUQs32K4IFWoAQPU8Tg0_6j23zOJncfho_BYfvC5UKejYFcYC6JIv3rPomg"
        "WuToiSvTpOk9HAuHmV5EMhsOZfLdsH0qVcuZSjLXR_w7m_Ljo8MQ9gwZerD3FBDxi6js7wuckcqEz_thjtatHia9bR"
        "4VvQ4SymBTnvW_ZudQwD_6afcqu72P223hJc7gTXPH9dgmm8E7Iz1R0_s5p54_3DWnbzw9DPB-zeRJI9M0oYpJl2BV"
        "awpYPTGYqez2HLKRCigbvzz-Q8SEKoheksRGue-ZSQsZlAWw0abqhqulnVZyMjuluD2AU4r9g",
    ),
    "379 SignatureTooLong": (
        EC_KEY,
        f"{ES256}.Zm9v.AOXANDh8jD-3s2plHeXPZFfhaxsXceIWxlznaZUJLra6AJau17k_6kC-wTdV7rFLJTdgNDBQeNVU"
        "629ysRtudnzI",
    ),
    "380 TrailingZeros": (
        EC_KEY,
        f"{ES256}.Zm9v.5cA0OHyMP7ezamUd5c9kV-FrGxdx4hbGXOdplQkutroAlq7XuT_qQL7BN1XusUslN2A0MFB41VTr"
        "b3KxG252fMgA",
    ),
    "381 RisTooBig": (
        EC_KEY,
        f"{ES256}.Zm9v.AeXANDd8jD-4s2plHeXPZFeeUhXFGPm1S1ChNFgFkdwLAJau17k_6kC-wTdV7rFLJTdgNDBQeNVU"
        "629ysRtudnzI",
    ),
    "382 SisTooBig": (
        EC_KEY,
        f"{ES256}.Zm9v.AOXANDh8jD-3s2plHeXPZFfhaxsXceIWxlznaZUJLra6AZau17g_6kC_wTdV7rFLJTcdGyr-H-zz"
        "cGMse95q2aIZ",
    ),
    "383 IntegerOverflow": (
        EC_KEY,
        f"{ES256}.Zm9v.AeXANDh8jD-3s2plHeXPZFfhaxsXceIWxlznaZUJLra6AJau17k_6kC-wTdV7rFLJTdgNDBQeNVU"
        "629ysRtudnzI",
    ),
    "384 IntegerOverflow": (
        EC_KEY,
        f"{ES256}.Zm9v.AOXANDh8jD-3s2plHeXPZFfhaxsXceIWxlznaZUJLra6AZau17k_6kC-wTdV7rFLJTdgNDBQeNVU"
        "629ysRtudnzI",
    ),
    **{
        f"{number} {names}": (EC_KEY, f"{ES256}.Zm9v.{jwt.b64(signature)}")
        for number, (names, signature) in enumerate(EDGES, 386)
    },
}


def verify(text, key):
    """Verify a signature as a request of ACME has it."""
    protected, payload, signature = text.split(".")
    members = {"protected": protected, "payload": payload, "signature": signature}
    signed = parse_flattened(members)
    verify_signature(signed, require_algorithm(signed.header), parse_public_jwk(key))


@pytest.mark.parametrize("name", VALID)
def test_a_valid_signature_is_accepted(name):
    key, text = VALID[name]
    verify(text, key)


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_signature_is_refused(name):
    key, text = INVALID[name]
    with pytest.raises((ValueError, AcmeProblem)):
        verify(text, key)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{ES256}.Zm9v", id="21 rejectsMissingSignatureAndSeparator"),
        pytest.param(f"{ES256}.{EC_SIGNATURE}", id="24 rejectsMissingPayloadAndSeparator"),
        pytest.param(f"Zm9v.{EC_SIGNATURE}", id="27 rejectsMissingHeaderAndSeparator"),
        pytest.param("Zm9v", id="29 rejectsMissingHeaderSignatureAndSeparators"),
        pytest.param("", id="30 rejectsEmptyString"),
        pytest.param(f"{ES256}.Zm9v.{EC_SIGNATURE}.", id="14 rejectsExtraEmptyComponent"),
        pytest.param(f"{ES256}.Zm9v.{EC_SIGNATURE}.foo", id="15 rejectsExtraComponent"),
    ],
)
def test_the_compact_form_has_three_parts(text):
    with pytest.raises(ValueError, match="three parts"):
        parse_compact(text, 10_000)


@pytest.mark.parametrize("purpose", [{"use": "enc"}, {"key_ops": ["encrypt"]}])
@pytest.mark.parametrize("name", ["18 acceptsValid", "33 acceptsValid"])
def test_a_key_for_encryption_verifies_no_token(name, purpose):
    """353 and 354, rejectWrongUse; 355 and 356, rejectWrongKeyOps.

    ACME ignores the purpose: a client's key is for the signatures of its account alone.
    """
    key, _ = VALID[name]
    assert len(parse_keys(json.dumps({"keys": [key]}).encode()).keys) == 1
    assert parse_keys(json.dumps({"keys": [key | purpose]}).encode()).keys == ()
