-- A history as version 1 wrote it. It is never changed: newer versions must read it.
PRAGMA application_id = 1347568195;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE checks (
            id INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            fm TEXT NOT NULL,
            revision TEXT,
            method TEXT NOT NULL,
            cohort TEXT NOT NULL,
            metric TEXT NOT NULL,
            metric_version INTEGER,
            label TEXT NOT NULL,
            criterion TEXT NOT NULL,
            quantity TEXT NOT NULL,
            neighbors INTEGER,
            value REAL,
            low REAL,
            high REAL,
            confidence REAL,
            direction TEXT NOT NULL,
            bound REAL NOT NULL,
            verdict TEXT NOT NULL,
            resampling BLOB
        );
INSERT INTO "checks" VALUES(1,1,'our-fm-v1',NULL,'none','demo','robustness_index',2,'robustness index','robustness-index','value',11,0.7,4.60480014093627931792e-01,8.72677451582889451842e-01,0.95,'>=',0.5,'inconclusive',X'78DAB5505D6EC3200CBE4AE56796916CD124DE768E6A8A28715A36072A6C9A4955EF3ED3F5650718129FFCFD18235F614529318083920F952521F314D38CDF60E0E2A92238DBBD19E0E0496BA07C8CA2DE5CFC969433C51959859AA230B83DB055C67D83A1C14B83D706237C180848D4727B78F7E18469F7BC93BAE6A2DEFF4A3A1B9705C3FD97B6B3A379B25D6FF48EF6CF199A31A831DC2376D4CE73C99243267057F802D7F737031BC6E3A9BD962A910142CF3261293A4C77660DC4B4E4B27A89179C1E7B7A643FEB7AE6E980B221A65FF1F60320EA7A9B');
INSERT INTO "checks" VALUES(2,1,'our-fm-v1',NULL,'none','demo','performance_drop_id',2,'drop in-domain','performance-drop-id','value',11,-0.123,NULL,NULL,NULL,'>=',-0.1,'fail',NULL);
INSERT INTO "checks" VALUES(3,2,'our-fm-v2','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','none','demo','robustness_index',2,'robustness index','robustness-index','value',11,0.6,3.54288072066806236648e-01,8.15026739628661678338e-01,0.95,'>=',0.5,'inconclusive',X'78DAB550CD6EC3200C7E95CA6796916CD981DB9EA39A224A9C96CD810A9B6652D5779FE97AD9030C894FFE7E8C91AFB0A29418C041C987CA9290798A69C66F3070F154119CEDDE0C70F0A435503E46516F2E7E4BCA99E28CAC424D5118DC1ED82AE3BEC1D0E0A5C16B83113E0C04246AB93DBCFB70C2B47BDE495D7351EF7F259D8DCB82E1FE4BDBD9D13CD9AE377A47FBE70CCD18D418EE113B6AE7B964C92113B82B7C81EBFB9B810DE3F1D45E4B95C800A16799B0141DA63BB306625A7259BDC40B4E8F3D3DB29F753DF37440D910D3AF78FB011F857A9A');
INSERT INTO "checks" VALUES(4,2,'our-fm-v2','aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa','none','demo','performance_drop_id',2,'drop in-domain','performance-drop-id','value',NULL,NULL,NULL,NULL,NULL,'>=',-0.1,'error',NULL);
CREATE TABLE runs (
            id INTEGER PRIMARY KEY,
            digest TEXT NOT NULL UNIQUE,
            created TEXT NOT NULL,
            outcome TEXT NOT NULL,
            summary TEXT NOT NULL,
            terms TEXT NOT NULL,
            version TEXT
        );
INSERT INTO "runs" VALUES(1,'dc5a07bc2a6f8e7c64a65af87734fdf80962c8bb5fea06e93d0bce9dae51c60f','2026-05-04T12:00:00Z','fail','FAIL: 1 of 2 criteria not met: drop in-domain -0.123 < -0.100 (our-fm-v1, demo); 1 inconclusive','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','0.1.0');
INSERT INTO "runs" VALUES(2,'d15d38d7f0589ae1d3d874f9aa22096c3c55552b9c8a7ee3c5f66b8e41c3f322','2026-05-07T12:00:00Z','error','ERROR: 1 of 2 criteria measured; 1 could not be measured; 1 inconclusive','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','0.1.0');
CREATE INDEX checks_of_run ON checks (run);
COMMIT;
