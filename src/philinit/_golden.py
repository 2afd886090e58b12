# SPDX-License-Identifier: Apache-2.0
"""The golden hashes of tests/data/golden.json, for `philinit selftest`.

Written by `python -m tests.test_selftest`; a test compares the two.
"""

SEED = 20240607
COUNT = 100003
OFFSETS = (0, 1099511627779)
SHA256: dict[str, tuple[str, ...]] = {
    "words": (
        "b9ec6290fd69b947f9bf6e8a44d2a1a795c5296f7646ac887c4ddb44f5666210",
        "798953d9a56df491224884830d3a42bf3205132aebc0547fdac50f670a459661",
    ),
    "uniform_float32-Uniform(low=-0.05, high=0.05)": (
        "79f5d9764d571a037f4392405dc2a742ba107032802db8e7fc462aea865187ee",
        "8a057e164dc281012a87dc90cc8c9fbb3a4f1b4ca905dda5ecae75c17eb8c93d",
    ),
    "uniform_float32-Uniform(low=-3.0, high=2.5)": (
        "d6eb7ce9a04a4dcae61e837dbc0da23ef1d253618891b7725e1a37e41d65c612",
        "e694b3751f43a0142b41fd2fba74e7690e330c25d366d59de4fd6e813b1ad619",
    ),
    "uniform_float32-Uniform(low=0.0, high=1.0)": (
        "53a727bd85be304f50e63dfb10c0fe2a60f73bade2f216865fa3e2a5ebf6cc96",
        "84a71d88c5ec48b2228126273b16b3f01d59046ac523c71d7a19b9563eff5246",
    ),
    "normal_float32-Normal(mean=0.0, stddev=0.02)": (
        "e51223bd976c157fdd83c5203b33775163acabb31c106203f75ad46cb63b57f7",
        "281941e91e86368a1fea904d4dcae89bb6e8d27d7f78e2b2450424bc96c37c1c",
    ),
    "normal_float32-Normal(mean=1.5, stddev=0.3)": (
        "0f7f5d1ed6bab0157df0ae925274e7da2f5901c5505507db790e4015f51acfee",
        "5f773877474249d77e66e02f983b26fc78eecef9a608cbaa6b8bde90f9c28114",
    ),
    "uniform_float16-Uniform(low=-0.05, high=0.05)": (
        "23eb421ab5b0ed3062bb67db7ffb6ccc1c5a2a79383185fa0962b09bc5d0e5ea",
        "733f84e23fb40c025aee3ad64f6e1c6b6b73fc942757c2dce07a5c996abb62ca",
    ),
    "uniform_float16-Uniform(low=-3.0, high=2.5)": (
        "293abea7bd67e7264d28399e7f6ee55a5deef6ac982682c3e765d888880b402f",
        "8bb27206eb1e496733f0b821967f29dd4f78fd4e676e826b403ae78ffefef9df",
    ),
    "uniform_clamped_float16-Uniform(low=0.0, high=1.0)": (
        "91571ec445e3d4869cb511b67dd642c916cbb803755976bd7d5953abfb0b2241",
        "9bee09b48ded5c660fd2e31ac9e81141bdb58d643f741f1b88516c2650d30386",
    ),
    "uniform_clamped_float16-Uniform(low=100.0, high=101.0)": (
        "8438c9e84ded90137fb9e1b1ebcc5bb3ffa35ca67aa54bdd383d71db3f5f499e",
        "b763ed58b5fc38c00469f25604efaa006979ffbc738a6bd789963d8f8b6bfb2a",
    ),
    "normal_float16-Normal(mean=0.0, stddev=0.02)": (
        "78c9cabd70af1fc47a980c05df01b6f825eb5047b4f82ab603255f15ad285435",
        "64323577ac3f3d41d29d3e40d78a0a6d4dd4bdd6a7bd124cd327eefe976dbc0a",
    ),
    "normal_float16-Normal(mean=1.5, stddev=0.3)": (
        "b3b1f9bddaf4408ecf66713c34ed37a4a9882d3e9d7e2f27bfb685289a25850d",
        "2e6965ba165822596be583b0951b54e4c35a58d72203d76f1067560ced522785",
    ),
    "uniform_bfloat16-Uniform(low=-0.05, high=0.05)": (
        "e8fb8864c010471fca8a4311406c18140e3d369f1120302da0266a77d5a3d39d",
        "a0f2ba20e70beb90f6549c86732297d9663f93569917bc56ffd489b829d2de63",
    ),
    "uniform_bfloat16-Uniform(low=-3.0, high=2.5)": (
        "8b6d4e5e9977268e7ee7f2253e4f513a0c8c3e3716605682c2bee2b4ca4bbd5f",
        "c1a4750ce6b18af016aaee6c42d4c1685c010147fa342ead44bfbd0bb20c17d3",
    ),
    "uniform_clamped_bfloat16-Uniform(low=0.0, high=1.0)": (
        "2d4f0ab45a1a1ce45e4e188f005bc3dfbc20717e3af6940f28cd36919fde8e64",
        "abf30a102e9c4be78f8553b50bf212bdede09786b2c9add8cc65c21525147888",
    ),
    "uniform_clamped_bfloat16-Uniform(low=100.0, high=101.0)": (
        "a27e7b5dfc41572cbbbc85a0ad902561624a460f10c32582665a99e8dd9ab2a9",
        "e25ce177c40b5019941c1dfb6548c90fbc05a46ed129752367308f3553f96a79",
    ),
    "normal_bfloat16-Normal(mean=0.0, stddev=0.02)": (
        "e1446ddf59fe3e5af05f28bd28321e44a593d3f3afc0dae9ae95e48e3db1c62a",
        "fbd376d83a89689cae9851e981d10fa6087a2cf944e1d9328f91f06e6a04af25",
    ),
    "normal_bfloat16-Normal(mean=1.5, stddev=0.3)": (
        "ec9799fa4153e8ab981b26e2e2548576d6eb371858a909142476881e9880a63c",
        "d4f8f624ca5512f0e171f1ad86c2bbfbebb5c3c8d53cf677e5a917b4d64d01a6",
    ),
    "uniform_float64-Uniform(low=-0.05, high=0.05)": (
        "9b8f440a7567280451c1e0b34d53c6a21c8e687e66dd780730227a39cff484a0",
        "1f85995e610c8a263dbd3608ef823b54ef6e5cb0f804bf8766cce30fa8dbfcdd",
    ),
    "uniform_float64-Uniform(low=-3.0, high=2.5)": (
        "81a577de2811e931a5e170071e6e6ea6311b388a7d373d775db4c14e7daead86",
        "77cf53ce47848c85171a169de33c421729118d8bf65e8f6962c1758fab5cc0d7",
    ),
    "uniform_float64-Uniform(low=0.0, high=1.0)": (
        "d1c03ff2b91a65a2165148dda459aee4da3a1d9ff3f9c667c37f09bfb6b0e3e4",
        "7b8d4431040a2221069a03b7949ae1c33e6d42c33aa27f94ca4a014c0f41c469",
    ),
    "bounded_float64-Normal(mean=0.0, stddev=0.02)": (
        "94e358203a2e1f1b12ec110db59df106452669ecdd162f83a9b49576a5ca8344",
        "980165dce2599d0871082388fd78340220dbe094b74413699d1f5bda50bd21e0",
    ),
    "bounded_float64-Normal(mean=1.5, stddev=0.3)": (
        "1e9047fadd12874472d268219d663829339cc0f86ed9f5bc79b18cd2607caef1",
        "eed4364b98670d2b0ac769cfe1f3b45d07816401471e604e1729b23257d4b9f8",
    ),
    "truncated_float32-TruncatedNormal(mean=0.0, stddev=0.1, lower=-2.0, upper=2.0)": (
        "16ce3c60a037559059da2f5b82706819fc7f66b6dfe9ebbb2297350455c254fe",
        "e8e7c942c778b0ea20e10ce239cf534af6e83647b7f2d46a03c4b6d6a54599ee",
    ),
    "truncated_float32-TruncatedNormal(mean=0.02, stddev=0.1, lower=-2.0, upper=2.0)": (
        "17fe313c2d62bab13e2ee918a7714363d389f5d79b61955a57a5572e3de1f0f5",
        "9aea52ff3813a162ee69c562acc78bba78ee0c5b25ab284475215c16a4d0e279",
    ),
    "truncated_float16-TruncatedNormal(mean=0.0, stddev=0.1, lower=-2.0, upper=2.0)": (
        "97b04c68af56c2cb5ce6c60a697ac8147c61927d13fdfc741431cdfc10da1a00",
        "e837a9c3224ef4593c159a5e3cfd8b1d47f1d22715158fda71eb2d66526d11c6",
    ),
    "truncated_float16-TruncatedNormal(mean=0.02, stddev=0.1, lower=-2.0, upper=2.0)": (
        "d6caddf924d6969ba6c4215564f70f68177ac7a78a60dbf048af55d9c3f796c3",
        "acd239e72fdf97e22a273d695d53f6c9ce6322c79233b27d90ea19e74fff28c4",
    ),
    "truncated_clamped_float16-TruncatedNormal(mean=1.0, stddev=0.02, lower=-2.0, upper=2.0)": (
        "8dd4ad4dd8880c6c8e28af57945da9060ef0f06053bb0b3eb9eb067260caa27e",
        "a588eb588df2e2b68cd3526e68b1835abde2280c0e9cf4c95e14e388df34a70b",
    ),
    "truncated_bfloat16-TruncatedNormal(mean=0.0, stddev=0.1, lower=-2.0, upper=2.0)": (
        "bfc37b746df85ac1d9825d6b4d979c665c7617a70d937c342a9084fc5e781d67",
        "3e37f965774217b2869bf3946eb1a86b6322ff57daafb9e7f61abc9a1969774c",
    ),
    "truncated_bfloat16-TruncatedNormal(mean=0.02, stddev=0.1, lower=-2.0, upper=2.0)": (
        "654b057d3df00a9d65dab4d1be8994f024a87ef97b11efc458967e997c37ef11",
        "a3b7e788f48a399f90ae4ff88a72ad0c989c23ca33b79683aec9e33bac2e6229",
    ),
    "truncated_clamped_bfloat16-TruncatedNormal(mean=1.0, stddev=0.02, lower=-2.0, upper=2.0)": (
        "6482131db4f9ca853c475d96af645c1c767504ea8c08d919e7018508b72b89fd",
        "3df036c3ed26b58474b56ae6a3186b9fee83ec7986f125b13cb33d290b66c9b6",
    ),
    "bounded_float32-TruncatedNormal(mean=0.0, stddev=0.1, lower=-3.0, upper=3.0)": (
        "3ffe2d097baf4f09c4a9d14c52e7a53d48e51b3ee54d4777fc2d0953c8d691fb",
        "ab164eb73cd7f54ac15ec2399f19ec84cb30636780377bf58bd463111885340d",
    ),
    "bounded_float32-TruncatedNormal(mean=0.5, stddev=2.0, lower=1.0, upper=inf)": (
        "0e182369d33ca519bfdfaceacffd1cb74e02c92f10d63f60a5c85584de5487a0",
        "4bc07eaef8f82c257d1667abe5f8a4b04723b4cfc11d9cde57af45d17840404d",
    ),
    "bounded_float32-TruncatedNormal(mean=0.0, stddev=1.0, lower=-1.0, upper=4.0)": (
        "a50d9ea36d19c57b35f2c8bc646c29f682e5585b0aa9afcebb02a996d48a7694",
        "520e71c5147fbdf6f5b34784a7da5a04ec2e21b2a61bc829b8d49e09a3544aae",
    ),
    "bounded_float16-TruncatedNormal(mean=0.0, stddev=0.1, lower=-3.0, upper=3.0)": (
        "9038bb46b80025aff9f0afd20c34cd05e68270016dbb406cef73dd4abcdbe74e",
        "244d53ba814ceae98aa60d6a988bd52a7acc32ccbc2ba5f5ea515b840eadaf12",
    ),
    "bounded_float16-TruncatedNormal(mean=0.5, stddev=2.0, lower=1.0, upper=inf)": (
        "15b0b7c8b01c18bdff51d63cd853ca8d4341c17437a565f7adeaa00756858e9f",
        "87b80f3664a5bede7dea2ec9def2d4a36a5b91c30b6c34a0d629fce7e9b10bc5",
    ),
    "bounded_float16-TruncatedNormal(mean=0.0, stddev=1.0, lower=-1.0, upper=4.0)": (
        "5e107b440d3a59aa43b9293904dbf1529276900b97896379a3db6625adb5bdb0",
        "02e0b34ee6198a8b2330587225bc5432f0754203c4756d28cb615a42914718dd",
    ),
    "bounded_bfloat16-TruncatedNormal(mean=0.0, stddev=0.1, lower=-3.0, upper=3.0)": (
        "3a083c8a125135415d73effa27fc4b7f30c19ed60159512638322044cca71895",
        "6ffc411278e55490430a6a5284eea8d2019204f216f66fc4750c288a2eb63bcf",
    ),
    "bounded_bfloat16-TruncatedNormal(mean=0.5, stddev=2.0, lower=1.0, upper=inf)": (
        "975ab7bf0583a11f478fd4122a852f87ef1ef47a46f98d5990e0b50fc8f2b24b",
        "567823a91a0b56f4767f8f3f44fa874716e07467f2cd84b87b29ee736ad7fd9e",
    ),
    "bounded_bfloat16-TruncatedNormal(mean=0.0, stddev=1.0, lower=-1.0, upper=4.0)": (
        "a8bb9a0ca3f9858cc8cf4deeb6fc43211cc8dbbeb34469d2e0b3e693c50151b0",
        "eb046f4f11e5d94dce3229823fea9379b6bb00da9f96fd22e2222475e846b0e3",
    ),
    "bounded_float64-TruncatedNormal(mean=0.0, stddev=0.1, lower=-3.0, upper=3.0)": (
        "bb7793d37699bd68ae6d07fccaa4788940b687fef58655c5cef6349e1e9e3cd9",
        "896d70c70d54534374446527f906946887848bdc4f99c7a0a710423109f89134",
    ),
    "bounded_float64-TruncatedNormal(mean=0.5, stddev=2.0, lower=1.0, upper=inf)": (
        "103f42981f8e6b7609672a5560772270af96c1de185190314d8fbfa1f25f11d9",
        "35884f0f76ab70f7f7960f4a792343e9f62271a22f40286855508053a66cf5e2",
    ),
    "bounded_float64-TruncatedNormal(mean=0.0, stddev=1.0, lower=-1.0, upper=4.0)": (
        "bdd26fda2e9b1d378ef748436101d08baa0627c4234fb7c7f244b8c429162f77",
        "1dd14a90523b163360e7263794b6c1ffb2fa3d776d60a08b82177e9429091ff5",
    ),
    "bounded_float64-TruncatedNormal(mean=0.0, stddev=0.1, lower=-2.0, upper=2.0)": (
        "75b520214cdf0041129a62b22c1a42ba0d97cdd4990194866218ba5ae512ed13",
        "c3dd302b06f0ec994620fc882659693d2c148c22bdad1b535e71581c4e6b0b70",
    ),
    "tensorflow_uniform_float32-Uniform(low=0.0, high=1.0)": (
        "8370398b3b7a08dc4000a86b1c4968c3bda31d316bf76eab2cf03ffe33d9b22e",
        "1fb5603bdaa64e22775f52f9bbe5b5a6cfbb49ff1f9740c968c1e2640e9b89fd",
    ),
    "tensorflow_uniform_float32-Uniform(low=-0.05, high=0.05)": (
        "11467607d8c258aec8eeec0f04310dae58aa3bf12b31f3bae0d813cf72bc766f",
        "84dd56eb94726514a99ce0eed637b3130ab016c94a2d6c6c6fa3c8c3914f0ac0",
    ),
}
# TensorFlow's normals, by which logf, sinf and cosf they are made with.
SHA256_BY_LIBM: dict[str, dict[str, tuple[str, ...]]] = {}
