// Passkeys: the browser asks an authenticator, and what it answers goes into the hidden fields of a form, which is then
// sent as any other. <form data-passkey="get|create" data-challenge="…" data-host="…">; without script, or where the
// browser has none of this, the form stays hidden.

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));

function text(buffer) {
  let said = "";
  for (const one of new Uint8Array(buffer)) said += String.fromCharCode(one);
  return btoa(said).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

async function get(form) {
  const answer = await navigator.credentials.get({
    publicKey: { challenge: bytes(form.dataset.challenge), rpId: form.dataset.host, userVerification: "required" },
  });
  form.elements.credential.value = text(answer.rawId);
  form.elements.client_data.value = text(answer.response.clientDataJSON);
  form.elements.authenticator_data.value = text(answer.response.authenticatorData);
  form.elements.signature.value = text(answer.response.signature);
}

async function create(form) {
  const answer = await navigator.credentials.create({
    publicKey: {
      challenge: bytes(form.dataset.challenge),
      rp: { id: form.dataset.host, name: "Caisey" },
      user: {
        id: bytes(form.dataset.userId),
        name: form.dataset.userName,
        displayName: form.dataset.displayName,
      },
      pubKeyCredParams: form.dataset.algorithms.split(" ").map((one) => ({ type: "public-key", alg: Number(one) })),
      excludeCredentials: form.dataset.exclude
        .split(" ").filter(Boolean).map((one) => ({ type: "public-key", id: bytes(one) })),
      authenticatorSelection: { residentKey: "required", requireResidentKey: true, userVerification: "required" },
      attestation: "none",
    },
  });
  form.elements.client_data.value = text(answer.response.clientDataJSON);
  form.elements.authenticator_data.value = text(answer.response.getAuthenticatorData());
  form.elements.public_key.value = text(answer.response.getPublicKey());
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential || !form.dataset.host) continue;
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    if (form.dataset.answered) return;
    event.preventDefault();
    const says = form.querySelector("[role=status]");
    says.textContent = "";
    try {
      await (form.dataset.passkey === "get" ? get : create)(form);
    } catch {
      says.textContent = form.dataset.refused; // given up, timed out, or nothing here that fits
      return;
    }
    form.dataset.answered = "yes";
    form.requestSubmit();
  });
}
