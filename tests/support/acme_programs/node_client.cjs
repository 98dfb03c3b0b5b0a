// Get a certificate with acme-client:  node_client.cjs DIRECTORY KID SECRET PATH NAME
'use strict';
const acme = require('acme-client');
const fs = require('fs');

async function main([directoryUrl, kid, hmacKey, path, name]) {
    const accountFile = `${path}/account.json`;
    const known = fs.existsSync(accountFile) ? JSON.parse(fs.readFileSync(accountFile)) : null;
    const accountKey = known ? known.key : (await acme.crypto.createPrivateEcdsaKey()).toString();
    const client = new acme.Client({
        directoryUrl,
        accountKey,
        accountUrl: known ? known.url : undefined,
        externalAccountBinding: { kid, hmacKey },
    });
    const [key, csr] = await acme.crypto.createCsr(
        { commonName: name, altNames: [name] },
        await acme.crypto.createPrivateEcdsaKey(),
    );
    const refuse = async () => { throw new Error('the server asks for a challenge'); };
    const chain = await client.auto({
        csr,
        email: 'admin@example.com',
        termsOfServiceAgreed: true,
        challengeCreateFn: refuse,
        challengeRemoveFn: async () => {},
    });
    const account = { key: accountKey, url: client.getAccountUrl() };
    fs.writeFileSync(accountFile, JSON.stringify(account));
    fs.writeFileSync(`${path}/${name}.crt`, chain);
    fs.writeFileSync(`${path}/${name}.key`, key);
}

main(process.argv.slice(2)).catch((error) => {
    console.error(error);
    process.exit(1);
});
